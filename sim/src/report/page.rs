//! The frame of every page: one file, no script, nothing from the network.

use core::fmt::Write as _;

use crate::report::words::escape;

const STYLE: &str = include_str!("page.css");

/// A page in the making.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// `name` and what of it, what it is about, and a line of facts.
    pub(super) fn new(name: &str, part: &str, describe: &str, facts: &str) -> Self {
        let (name, part) = (escape(name), escape(part));
        let describe = escape(describe.trim_end_matches('.'));
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{name}: {part}</title><style>{STYLE}</style></head><body>\n<header><h1>{name} <span>{part}</span></h1>"
        );
        if !describe.is_empty() {
            let mut letters = describe.chars();
            let first: String = letters
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .collect();
            let _ = write!(text, "<p>{first}{}.</p>", letters.as_str());
        }
        let _ = write!(text, "<p class=\"meta\">{}</p></header>", escape(facts));
        Self { text }
    }

    /// Something a reader must know before they believe what follows.
    pub(super) fn warn(&mut self, markup: &str) {
        let _ = write!(self.text, "\n<p class=\"warn\">{markup}</p>");
    }

    /// Markup as it is.
    pub(super) fn add(&mut self, markup: &str) {
        self.text.push('\n');
        self.text.push_str(markup);
    }

    /// A heading and what stands under it; nothing if that is empty.
    pub(super) fn section(&mut self, title: &str, markup: &str) {
        if !markup.is_empty() {
            let _ = write!(self.text, "\n<h2>{}</h2>{markup}", escape(title));
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("\n</body></html>\n");
        self.text
    }
}

/// Two things beside each other where there is room.
pub(super) fn two(first: &str, second: &str) -> String {
    format!("<div class=\"two\"><div>{first}</div><div>{second}</div></div>")
}

/// A table. Heads that begin with `#` stand over numbers. Cells are markup.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let is_number: Vec<bool> = heads.iter().map(|head| head.starts_with('#')).collect();
    let class = |at: usize| {
        let number = is_number.get(at).copied().unwrap_or_default();
        if number { " class=\"n\"" } else { "" }
    };
    let mut text = "<div class=\"wide\"><table><tr>".to_owned();
    for (at, head) in heads.iter().enumerate() {
        let head = escape(head.trim_start_matches('#'));
        let _ = write!(text, "<th{}>{head}", class(at));
    }
    for row in rows {
        text.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _ = write!(text, "<td{}>{cell}", class(at));
        }
    }
    text.push_str("</table></div>");
    text
}
