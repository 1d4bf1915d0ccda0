//! Rules of the tree that no compiler holds: who may depend on whom, how files are named, how long
//! they grow, and that the documents speak of files that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROLES: [&str; 7] = [
    "intake",
    "identity",
    "issuance",
    "signing",
    "timestamping",
    "storage",
    "delivery",
];

/// Which of our crates each may link, apart from tests. A crate that is not here fails.
const MAY_LINK: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("pki", &["domain"]),
    ("verify", &["domain", "pki"]),
    ("proto", &["domain"]),
    ("platform", &["domain", "pki", "proto"]),
    ("client", &["domain", "pki", "proto"]),
    ("testkit", &[]),
    // Tests alone: there the roles meet in one executable.
    ("sim", &[]),
    // The executables: a table of roles, a person's command line, an offline tool, a load generator and fault laboratory.
    ("probityd", &["domain", "pki", "proto", "platform", ROLE]),
    ("probity", &["domain", "pki", "proto", "client", "verify"]),
    ("ceremony", &["domain", "pki"]),
    (
        "load-tests",
        &["domain", "pki", "proto", "platform", "client", "testkit"],
    ),
];
const ROLE: &str = "(any role)";
const ROLE_MAY_LINK: &[&str] = &["domain", "pki", "proto", "platform"];

/// Bytes, time, keys and randomness are handed to these.
const PURE: [&str; 3] = ["domain", "pki", "verify"];
const IMPURE: [&str; 15] = [
    "async-nats",
    "async-trait",
    "aws-sdk-s3",
    "axum",
    "cryptoki",
    "futures",
    "http",
    "hyper",
    "lettre",
    "redis",
    "reqwest",
    "tokio",
    "tokio-stream",
    "tonic",
    "tower",
];

/// Named by `platform` alone, so that each can be replaced in one place.
const PLATFORM_ONLY: [&str; 8] = [
    "async-nats",
    "aws-config",
    "aws-sdk-s3",
    "cryptoki",
    "opentelemetry",
    "opentelemetry-otlp",
    "opentelemetry_sdk",
    "redis",
];

/// Names of drawers into which anything fits.
const BANNED_MODULES: [&str; 8] = [
    "common", "core", "helper", "helpers", "misc", "shared", "util", "utils",
];

const LINES_MAX: usize = 600;
/// Beyond this a file needs a reason in [`LONG_FILES`]. Unit tests do not count.
const LINES_WITHOUT_REASON_MAX: usize = 400;
const LONG_FILES: [(&str, &str); 1] = [(
    "proto/src/http.rs",
    "the public HTTP contract in one place: declarations only",
)];

/// Words that must not appear in any file of the tree, in lower case; for names that an operator's
/// own checkout must not leak.
const FORBIDDEN_WORDS: [&str; 0] = [];

const DOCUMENTS: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

struct Package {
    /// Without our prefix.
    name: String,
    folder: String,
    manifest: String,
    /// Names of what it links outside tests; ours without the prefix.
    ours: BTreeSet<String>,
    others: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    let root = root();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| package(p, &root))
        .collect()
}

fn package(package: &Value, root: &Path) -> Package {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let folder = manifest.parent().unwrap().strip_prefix(root).unwrap();
    let (mut ours, mut others) = (BTreeSet::new(), BTreeSet::new());
    for dependency in package["dependencies"].as_array().unwrap() {
        if dependency["kind"] == "dev" {
            continue;
        }
        let name = dependency["name"].as_str().unwrap();
        if dependency["path"].is_string() {
            ours.insert(short(name));
        } else {
            others.insert(name.to_owned());
        }
    }
    Package {
        name: short(package["name"].as_str().unwrap()),
        folder: folder.to_str().unwrap().to_owned(),
        manifest: fs::read_to_string(manifest).unwrap(),
        ours,
        others,
    }
}

fn short(name: &str) -> String {
    name.strip_prefix("probity-").unwrap_or(name).to_owned()
}

/// Files of the tree, without what git ignores and without git itself.
fn files(extension: &str) -> Vec<(String, PathBuf)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".probity"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(extension) {
                let relative = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((relative, path));
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn crates_depend_in_one_direction() {
    let rules: BTreeMap<&str, &[&str]> = MAY_LINK.into_iter().collect();
    let mut broken = Vec::new();
    for package in packages() {
        let is_role = ROLES.contains(&package.name.as_str());
        let may = match rules.get(package.name.as_str()) {
            Some(may) => may,
            None if is_role => ROLE_MAY_LINK,
            None => {
                broken.push(format!("{}: has no rule here", package.name));
                continue;
            }
        };
        for link in &package.ours {
            let any_role = may.contains(&ROLE) && ROLES.contains(&link.as_str());
            if !any_role && !may.contains(&link.as_str()) {
                broken.push(format!("{} links {link}", package.name));
            }
        }
    }
    none(
        &broken,
        "dependencies point the wrong way (ARCHITECTURE.md, parts and direction)",
    );
}

#[test]
fn pure_crates_link_nothing_that_does_input_or_output() {
    let mut broken = Vec::new();
    for package in packages()
        .iter()
        .filter(|p| PURE.contains(&p.name.as_str()))
    {
        for link in IMPURE.iter().filter(|name| package.others.contains(**name)) {
            broken.push(format!("{} links {link}", package.name));
        }
    }
    none(
        &broken,
        "domain, pki and verify take bytes, time, keys and randomness as parameters",
    );
}

#[test]
fn servers_are_named_by_platform_alone() {
    let mut broken = Vec::new();
    for package in packages().iter().filter(|p| p.name != "platform") {
        for link in PLATFORM_ONLY
            .iter()
            .filter(|name| package.others.contains(**name))
        {
            broken.push(format!("{} links {link}", package.name));
        }
    }
    none(
        &broken,
        "only platform names NATS, S3, Redis and OpenTelemetry",
    );
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let broken: Vec<String> = packages()
        .into_iter()
        .filter(|p| !p.manifest.contains("[lints]\nworkspace = true"))
        .map(|p| format!("{}/Cargo.toml", p.folder))
        .collect();
    none(
        &broken,
        "without [lints] workspace = true the workspace's lints do not hold",
    );
}

#[test]
fn every_crate_has_one_integration_executable() {
    let mut broken = Vec::new();
    for package in packages() {
        let tests = root().join(&package.folder).join("tests");
        for entry in fs::read_dir(tests).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                broken.push(path.display().to_string());
            }
        }
    }
    none(
        &broken,
        "integration tests are modules of tests/it/main.rs: each executable links anew",
    );
}

#[test]
fn no_module_is_a_drawer() {
    let broken: Vec<String> = files(".rs")
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            let stem = name.trim_end_matches(".rs").trim_end_matches("/mod");
            stem.split('/').any(|part| BANNED_MODULES.contains(&part))
        })
        .collect();
    none(&broken, "a module is named after what it holds");
}

/// Such a file compiles in nobody's build, so nothing else notices it.
#[test]
fn every_file_is_somebodys_module() {
    let sources = files(".rs");
    let mut broken = Vec::new();
    for (name, path) in &sources {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let is_root = ["lib", "main", "mod", "build"].contains(&stem);
        let by_itself = ["benches", "examples", "fuzz"].map(|kind| folder.ends_with(kind));
        if is_root || by_itself.contains(&true) {
            continue;
        }
        let declares = |other: &Path| {
            let beside = other.parent() == Some(folder) || other == folder.with_extension("rs");
            beside
                && fs::read_to_string(other)
                    .unwrap()
                    .contains(&format!("mod {stem};"))
        };
        if !sources.iter().any(|(_, other)| declares(other)) {
            broken.push(name.clone());
        }
    }
    none(
        &broken,
        "no module declares these files: they are not compiled",
    );
}

#[test]
fn files_stay_readable() {
    let reasons: BTreeMap<&str, &str> = LONG_FILES.into_iter().collect();
    let mut broken = Vec::new();
    let mut needless: BTreeSet<&str> = reasons.keys().copied().collect();
    for (name, path) in files(".rs") {
        let text = fs::read_to_string(path).unwrap();
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let lines = code.lines().count();
        if lines > LINES_WITHOUT_REASON_MAX {
            needless.remove(name.as_str());
        }
        let is_test = name.contains("/tests/");
        let has_reason = is_test || reasons.contains_key(name.as_str());
        if lines > LINES_MAX || (lines > LINES_WITHOUT_REASON_MAX && !has_reason) {
            broken.push(format!("{name}: {lines} lines"));
        }
    }
    broken.extend(
        needless
            .iter()
            .map(|name| format!("{name}: needs no reason any more")),
    );
    none(
        &broken,
        "files have at most 400 lines, or a reason here and at most 600",
    );
}

#[test]
fn no_forbidden_word_appears() {
    let mut broken = Vec::new();
    if !FORBIDDEN_WORDS.is_empty() {
        for (name, path) in files("") {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).to_lowercase();
            broken.extend(
                FORBIDDEN_WORDS
                    .iter()
                    .filter(|word| text.contains(**word))
                    .map(|word| format!("{name}: {word}")),
            );
        }
    }
    none(&broken, "words that do not belong into this tree");
}

/// Links `](path)` and code words that look like a path of this tree.
#[test]
fn documents_speak_of_files_that_exist() {
    let root = root();
    let mut broken = Vec::new();
    for (name, path) in files(".md") {
        let text = fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains(':')) {
            if !folder.join(link).exists() {
                broken.push(format!("{name}: {link}"));
            }
        }
        for word in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| is_tree_path(word))
        {
            if !root.join(word).exists() && !folder.join(word).exists() {
                broken.push(format!("{name}: `{word}`"));
            }
        }
    }
    none(&broken, "no such file");
}

fn is_tree_path(word: &str) -> bool {
    let first = word.split('/').next().unwrap_or_default();
    let of_tree = [
        "crates",
        "services",
        "proto",
        "infra",
        "charts",
        "judges",
        "load-tests",
        "samples",
    ]
    .contains(&first);
    of_tree && word.contains('/') && !word.contains([' ', '*', '<', '{', '…', '\n', ':'])
}

/// A fenced tree under the heading "Layout" names every crate, and nothing that is not there.
#[test]
fn the_layout_drawn_is_the_layout_there() {
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        let Ok(text) = fs::read_to_string(root().join(document)) else {
            continue;
        };
        let Some((_, section)) = text.split_once("\n## Layout") else {
            continue;
        };
        let Some(tree) = section.split("```").nth(1) else {
            continue;
        };
        let drawn = drawn_paths(tree);
        for path in drawn.iter().filter(|path| !root().join(path).exists()) {
            broken.push(format!("{document}: {path} is not there"));
        }
        for package in packages() {
            let folder = Path::new(&package.folder);
            if !drawn.iter().any(|path| Path::new(path) == folder) {
                broken.push(format!("{document}: {} is missing", package.folder));
            }
        }
    }
    none(&broken, "the layout drawn is not the layout there");
}

/// Paths of a tree drawn by indentation of two; a line may name several, then describe them.
fn drawn_paths(tree: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut paths = Vec::new();
    for line in tree.lines().skip(1) {
        let names = line.trim_start();
        open.truncate((line.len() - names.len()) / 2);
        let prefix: String = open.concat();
        let is_name =
            |word: &&str| word.ends_with('/') || word.contains('.') || *word == "Makefile";
        let names: Vec<&str> = names
            .split("  ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .take_while(is_name)
            .collect();
        paths.extend(names.iter().map(|name| format!("{prefix}{name}")));
        if let Some(folder) = names.first().filter(|name| name.ends_with('/')) {
            open.push((*folder).to_owned());
        }
    }
    paths
}

#[test]
fn a_drawn_tree_is_read() {
    let tree =
        "\nCargo.toml  what\ncrates/\n  domain/   the words\nservices/\n  a/ b/ \n    x.rs\n";
    let expected = [
        "Cargo.toml",
        "crates/",
        "crates/domain/",
        "services/",
        "services/a/",
        "services/b/",
    ];
    let paths = drawn_paths(tree);
    assert_eq!(paths[..6], expected);
    assert_eq!(paths[6], "services/a/x.rs");
}
