//! Translation between wire names (hashes, addresses) and the core's keys. For drivers that speak
//! the real protocol; the core itself does not use it.
