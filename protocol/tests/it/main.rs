//! The one test binary of the wire's types.

/// Contents by size, hashed and encoded.
mod content;
/// The fuzz targets' bodies over their corpora and deterministic mutations of them.
mod fuzz_corpus;
/// Committed bytes of each wire version still mean what they meant.
mod golden;
/// Only the device named in a license gets keys out of it, and only unaltered.
mod license;
/// Too long, too many, too deep, cut short: refused cheaply, never a panic.
mod limits;
/// Encode, then decode, is identity.
mod roundtrip;
/// One fixed value of every kind of message and document.
mod samples;
/// Signatures hold for one kind of document and one key.
mod signed;
/// Any value of every kind of message and document.
mod strategies;
/// Nothing but the named content passes verification.
mod verified;
