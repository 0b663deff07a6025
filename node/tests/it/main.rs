//! The node's parts against real disks and sockets.

mod crash;
mod made;
mod sim_disk;
mod store;
