//! Who follows one of the first pages alone has each namespace before a command needs it.

use std::collections::BTreeSet;

use super::commands::commands;
use super::manifests::documents;
use super::pages::{Page, page};

/// Pages for those who have a cluster, and nothing of Sancho's yet.
const FIRST: [&str; 2] = ["README.md", "docs/quick-start.md"];

#[test]
fn the_first_pages_make_each_namespace_before_they_use_it() {
    for path in FIRST {
        let page = page(path);
        let mut made: BTreeSet<String> = BTreeSet::new();
        let mut count = 0;
        for command in page.blocks().iter().flat_map(commands) {
            let command = command.split(" #").next().unwrap_or_default();
            let words: Vec<&str> = command.split_whitespace().collect();
            if words.contains(&"--create-namespace") {
                made.extend(named(&words));
            } else if let ["kubectl", "create", "namespace", name, ..] = words.as_slice() {
                made.insert((*name).to_owned());
            }
            for namespace in named(&words).into_iter().chain(applied(&page, &words)) {
                count += 1;
                assert!(
                    made.contains(&namespace),
                    "{path}: {command}: no command above makes the namespace {namespace}"
                );
            }
        }
        assert!(count > 4, "{path}: only {count} uses of a namespace");
    }
}

/// The namespaces that a command's flags name.
fn named(words: &[&str]) -> Vec<String> {
    values(words, &["-n", "--namespace"])
}

/// The namespaces of the objects in the files that a command reads, as the page has them.
fn applied(page: &Page, words: &[&str]) -> Vec<String> {
    let files = values(words, &["-f"]);
    let blocks = page.blocks().into_iter();
    let blocks = blocks.filter(|block| block.file.as_ref().is_some_and(|file| files.contains(file)));
    blocks
        .flat_map(|block| documents(&block))
        .filter_map(|object| object["metadata"]["namespace"].as_str().map(str::to_owned))
        .collect()
}

/// The words behind these flags.
fn values(words: &[&str], flags: &[&str]) -> Vec<String> {
    let pairs = words.windows(2).filter(|pair| flags.contains(&pair[0]));
    pairs.map(|pair| pair[1].to_owned()).collect()
}
