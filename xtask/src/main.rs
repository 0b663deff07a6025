//! Chores that are checks: `cargo xtask tidy`.

mod arrows;
mod tidy;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or_else(|| anyhow::anyhow!("xtask lies inside the workspace"))?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let mut faults = arrows::check(root)?;
            faults.extend(tidy::check(root)?);
            for fault in &faults {
                eprintln!("tidy: {fault}");
            }
            anyhow::ensure!(faults.is_empty(), "{} faults", faults.len());
            println!("tidy: arrows, sizes, words and document paths are fine");
            Ok(())
        }
        _ => anyhow::bail!("usage: cargo xtask tidy"),
    }
}
