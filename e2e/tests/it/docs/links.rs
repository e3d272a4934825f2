//! Links from page to page.

use std::path::{Component, Path, PathBuf};

use sancho_e2e::world::repository;

use super::pages::{Page, page, pages};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let pages = pages();
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        for (number, link) in page.links() {
            if link.contains("://") {
                continue;
            }
            count += 1;
            if let Err(why) = leads_somewhere(page, link) {
                wrong.push(format!("{}:{number}: {link}: {why}", page.path));
            }
        }
    }
    assert!(count > 100, "only {count} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_reached_from_the_overview() {
    let overview = page("docs/README.md");
    let linked: Vec<&str> = overview.links().into_iter().map(|(_, link)| link).collect();
    for page in pages() {
        if let Some(name) = page
            .path
            .strip_prefix("docs/")
            .filter(|name| *name != "README.md")
        {
            assert!(linked.contains(&name), "docs/README.md has no link to {name}");
        }
    }
}

fn leads_somewhere(page: &Page, link: &str) -> Result<(), String> {
    let (file, heading) = match link.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (link, None),
    };
    let path = match file {
        "" => page.path.clone(),
        file => beside(&page.path, file),
    };
    if !repository().join(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    match heading {
        Some(heading) if !super::pages::page(&path).anchors().iter().any(|a| a == heading) => {
            Err(format!("{path} has no such heading"))
        }
        _ => Ok(()),
    }
}

/// The path of `file`, as a page at `path` names it.
fn beside(path: &str, file: &str) -> String {
    let folder = Path::new(path).parent().unwrap();
    let mut found = PathBuf::new();
    for component in folder.join(file).components() {
        match component {
            Component::ParentDir => assert!(found.pop(), "{file} leads out of the repository"),
            other => found.push(other),
        }
    }
    found.display().to_string()
}
