//! Which files make which captures.

use std::path::{Path, PathBuf};

use probity_client::{DigestedFile, digest_file};
use walkdir::WalkDir;

use crate::failure::{Failure, at};

/// One capture: its title, and its files with their names in the evidence.
pub struct Capture {
    pub title: String,
    pub files: Vec<NamedFile>,
}

/// A file under the name it has in the evidence.
pub struct NamedFile {
    pub name: String,
    pub file: DigestedFile,
}

/// A capture whose files have not been read yet.
pub struct Found {
    title: String,
    files: Vec<(String, PathBuf)>,
}

impl Found {
    /// Reads and hashes the files.
    pub async fn digested(self) -> Result<Capture, Failure> {
        let mut files = Vec::new();
        for (name, path) in self.files {
            files.push(NamedFile {
                name,
                file: digest_file(&path).await?,
            });
        }
        Ok(Capture {
            title: self.title,
            files,
        })
    }
}

/// The captures of the given paths, in order of name: a file is one; of a folder, each file directly in it is one, and
/// each sub-folder with all that is in it. Hidden files and links are left out.
pub fn captures_of(paths: &[PathBuf]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path).map_err(at(path))?;
        if kind.is_file() {
            found.push(single(path)?);
            continue;
        }
        for entry in children(path)? {
            let kind = std::fs::symlink_metadata(&entry).map_err(at(&entry))?;
            if kind.is_file() {
                found.push(single(&entry)?);
            } else if kind.is_dir() {
                found.extend(folder(&entry)?);
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::usage("there is no file under these paths"));
    }
    Ok(found)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(at(folder))?;
    let mut paths = entries
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(at(folder))?;
    paths.retain(|path| !is_hidden(path));
    paths.sort();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .is_some_and(|n| n.starts_with('.'))
}

fn single(path: &Path) -> Result<Found, Failure> {
    let name = text(path.file_name().map(Path::new).unwrap_or(path))?;
    Ok(Found {
        title: name.clone(),
        files: vec![(name, path.to_owned())],
    })
}

fn folder(path: &Path) -> Result<Option<Found>, Failure> {
    let mut files = Vec::new();
    let walk = WalkDir::new(path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|e| e.depth() == 0 || !is_hidden(e.path()));
    for entry in walk {
        let entry = entry.map_err(|e| Failure::usage(e.to_string()))?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(path).unwrap_or(entry.path());
            files.push((text(relative)?, entry.path().to_owned()));
        }
    }
    let title = text(path.file_name().map(Path::new).unwrap_or(path))?;
    Ok((!files.is_empty()).then_some(Found { title, files }))
}

fn text(path: &Path) -> Result<String, Failure> {
    let name = path
        .to_str()
        .ok_or_else(|| Failure::usage(format!("{}: the name is not UTF-8", path.display())))?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_capture_and_a_sub_folder_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in ["b.txt", "a/page.html", "a/img/x.png", ".hidden", "c/.keep"] {
            write(name);
        }
        let found = captures_of(&[dir.path().to_owned()]).unwrap();
        let shape: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|f| {
                (
                    f.title.as_str(),
                    f.files.iter().map(|(n, _)| n.as_str()).collect(),
                )
            })
            .collect();
        assert_eq!(
            shape,
            [
                ("a", vec!["img/x.png", "page.html"]),
                ("b.txt", vec!["b.txt"])
            ]
        );
        assert!(captures_of(&[dir.path().join("c")]).is_err());
        assert!(captures_of(&[dir.path().join("missing")]).is_err());
    }
}
