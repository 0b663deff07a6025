//! The arrows between crates: who may depend on whom, and what must never come near the core.

use std::path::Path;

/// Package folder, our crates it may depend on, and outside crates it must not.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("protocol", &[], ASYNC_AND_IO),
    ("swarm", &["protocol"], ASYNC_AND_IO),
    ("transport", &["protocol"], &["libp2p", "sqlx"]),
    ("player", &[], NETWORK),
    ("origin", &["protocol"], &[]),
    (
        "tracker",
        &["protocol", "swarm", "transport"],
        &["symphonia", "vorbis_rs", "cpal"],
    ),
    (
        "node",
        &["protocol", "swarm", "transport", "player"],
        &["sqlx"],
    ),
    ("sim", &["protocol", "swarm"], ASYNC_AND_IO),
    (
        "cli",
        &["protocol", "node", "tracker", "origin", "sim", "player"],
        &["sqlx", "sled"],
    ),
    (
        "tests",
        &[
            "protocol", "swarm", "player", "origin", "tracker", "node", "sim",
        ],
        &[],
    ),
    ("xtask", &[], &[]),
];

const ASYNC_AND_IO: &[&str] = &[
    "tokio",
    "async-std",
    "futures",
    "quinn",
    "libp2p",
    "sled",
    "sqlx",
    "getrandom",
    "reqwest",
];
const NETWORK: &[&str] = &["tokio", "quinn", "libp2p", "reqwest", "axum"];

/// Faults in the manifests below `root`.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (folder, ours, banned) in ARROWS {
        let manifest = root.join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        let table: toml::Table = text.parse()?;
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        for name in dependencies.into_iter().flat_map(toml::Table::keys) {
            if name
                .strip_prefix("antiphon-")
                .is_some_and(|other| !ours.contains(&other))
            {
                faults.push(format!("{folder} must not depend on {name}"));
            }
            if banned.contains(&name.as_str()) {
                faults.push(format!("{folder} must not depend on {name}"));
            }
        }
    }
    Ok(faults)
}
