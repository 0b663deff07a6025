//! Sizes of files and functions, words that must not stay, and paths named in documents.

use std::path::{Path, PathBuf};

/// A file over this needs splitting; see CONTRIBUTING.md.
const FILE_LINES_MAX: usize = 600;
/// A function over this needs splitting.
const FUNCTION_LINES_MAX: usize = 70;
/// Words that must not be committed in sources. Split, so that this file passes itself.
const BANNED: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("TO", "DO"),
    concat!("#[ig", "nore"),
];
/// Names that have no reason to stop growing.
const CATCH_ALLS: &[&str] = &["utils", "util", "common", "helpers", "misc", "manager"];
const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Faults in the tree below `root`.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in sources(root)? {
        let text = std::fs::read_to_string(&file)?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        check_source(&name, &text, &mut faults);
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if CATCH_ALLS.contains(&stem) {
            faults.push(format!("{name}: a catch-all; name it for its one concept"));
        }
    }
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root.join(document)).unwrap_or_default();
        for path in paths_in(&text) {
            if !root.join(&path).exists() {
                faults.push(format!("{document} names {path}, which does not exist"));
            }
        }
    }
    Ok(faults)
}

fn check_source(name: &str, text: &str, faults: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    let code = lines
        .iter()
        .position(|line| line.starts_with("#[cfg(test)]"))
        .unwrap_or(lines.len());
    let counted = if name.contains("/tests/") || name.starts_with("tests/") {
        lines.len()
    } else {
        code
    };
    if counted > FILE_LINES_MAX {
        faults.push(format!(
            "{name}: {counted} lines without tests, over {FILE_LINES_MAX}"
        ));
    }
    for (number, line) in lines.iter().enumerate() {
        if let Some(word) = BANNED.iter().find(|word| line.contains(**word)) {
            faults.push(format!("{name}:{}: {word} must not stay", number + 1));
        }
    }
    for (start, lines) in functions(&lines) {
        if lines > FUNCTION_LINES_MAX {
            faults.push(format!(
                "{name}:{}: function of {lines} lines, over {FUNCTION_LINES_MAX}",
                start + 1
            ));
        }
    }
}

/// Start line and length of each function, by the indentation rustfmt gives its closing brace.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let words = code
            .split_whitespace()
            .take_while(|word| !word.contains('('));
        let is_function = words.clone().any(|word| word == "fn") && !code.starts_with("//")
            || code.starts_with("fn ")
            || code.starts_with("pub fn ");
        if !is_function || code.ends_with(';') {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let close = format!("{indent}}}");
        let one_line = line.ends_with('}');
        if let Some(length) = lines[start..]
            .iter()
            .position(|line| one_line || **line == close)
        {
            found.push((start, length + 1));
        }
    }
    found
}

fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Relative paths in backquotes that look like files or folders of the tree.
fn paths_in(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|word| {
        let plain = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let file = [".rs", ".md", ".toml", ".sh"]
            .iter()
            .any(|end| word.ends_with(end));
        plain && !word.starts_with('/') && !word.starts_with('.') && (file || word.ends_with('/'))
    });
    paths.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_are_found_and_short_ones_are_not() {
        let long = format!(
            "fn long() {{\n{}}}\n",
            "    work();\n".repeat(FUNCTION_LINES_MAX)
        );
        let mut faults = Vec::new();
        check_source("a.rs", &long, &mut faults);
        assert_eq!(faults.len(), 1);
        check_source("b.rs", "fn short() {\n    work();\n}\n", &mut faults);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn paths_in_documents_are_told_from_other_code() {
        let text = "see `swarm/src/node.rs`, `docs/`, `cargo test` and `make`";
        assert_eq!(paths_in(text), ["swarm/src/node.rs", "docs/"]);
    }
}
