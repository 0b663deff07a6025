//! The node's parts against real disks and sockets.

mod crash;
#[path = "../../../origin/tests/it/delay_proxy.rs"]
mod delay_proxy;
mod made;
mod origin_client;
mod peers;
mod put_all;
mod sim_disk;
mod store;
mod tracker_client;
