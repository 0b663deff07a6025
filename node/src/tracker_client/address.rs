//! Where a tracker is and how to know it: `host:port#fingerprint`.

use std::fmt;
use std::str::FromStr;

/// A tracker's address. The fingerprint is the BLAKE3 of its certificate (DER) in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerAddress {
    host: String,
    port: u16,
    fingerprint: [u8; 32],
}

impl TrackerAddress {
    /// An address from its parts; IPv6 hosts without brackets.
    #[must_use]
    pub const fn new(host: String, port: u16, fingerprint: [u8; 32]) -> Self {
        Self {
            host,
            port,
            fingerprint,
        }
    }

    /// Name or IP.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, over UDP and over TCP.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// BLAKE3 of its certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl FromStr for TrackerAddress {
    type Err = ParseTrackerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseTrackerAddressError as Error;
        let (place, fingerprint) = text.trim().split_once('#').ok_or(Error::NoFingerprint)?;
        let (host, port) = place.rsplit_once(':').ok_or(Error::NoPort)?;
        let port = port.parse().map_err(|_| Error::NoPort)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() || host.len() > antiphon_protocol::limits::TEXT_BYTES_MAX {
            return Err(Error::NoHost);
        }
        let fingerprint = blake3::Hash::from_hex(fingerprint).map_err(|_| Error::Fingerprint)?;
        Ok(Self::new(host.to_owned(), port, *fingerprint.as_bytes()))
    }
}

impl fmt::Display for TrackerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = blake3::Hash::from(self.fingerprint).to_hex();
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}#{fingerprint}", self.host, self.port),
            false => write!(f, "{}:{}#{fingerprint}", self.host, self.port),
        }
    }
}

/// Why a text is no tracker address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTrackerAddressError {
    /// Nothing after a `#`.
    #[error("a tracker address looks like host:port#fingerprint; the fingerprint is missing")]
    NoFingerprint,
    /// No or a wrong port.
    #[error("a tracker address looks like host:port#fingerprint; the port is missing or wrong")]
    NoPort,
    /// No host, or one too long.
    #[error("a tracker address looks like host:port#fingerprint; the host is missing or too long")]
    NoHost,
    /// Not 64 hexadecimal digits.
    #[error("the fingerprint of a tracker address has 64 hexadecimal digits")]
    Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_form() {
        let digits = "ab".repeat(32);
        for place in ["127.0.0.1:7781", "[::1]:7781", "tracker.example:1"] {
            let text = format!("{place}#{digits}");
            let address: TrackerAddress = text.parse().expect("a legal address");
            assert_eq!(address.to_string(), text);
            assert_eq!(address.fingerprint(), [0xab; 32]);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        use ParseTrackerAddressError as Error;
        let digits = "ab".repeat(32);
        let parse = |text: String| text.parse::<TrackerAddress>();
        assert_eq!(parse("host:1".into()), Err(Error::NoFingerprint));
        assert_eq!(parse(format!("host#{digits}")), Err(Error::NoPort));
        assert_eq!(parse(format!("host:99999#{digits}")), Err(Error::NoPort));
        assert_eq!(parse(format!(":1#{digits}")), Err(Error::NoHost));
        assert_eq!(parse("host:1#abcd".into()), Err(Error::Fingerprint));
    }
}
