//! Listing. A store may answer fewer keys than were asked for although there are more (`IsTruncated`), which callers of the port do
//! not know of: to them a short page is the last.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;

use super::S3Objects;
use crate::objects::Listed;
use crate::{Error, Result};

/// Pages read for one answer. One key in each would be the least; more are pages of removed keys alone.
const PAGES_MAX: u32 = 1_000;

/// Where the next page begins.
#[derive(Clone, PartialEq, Eq)]
enum From {
    After(Option<String>),
    /// What the store names, and it alone understands.
    Token(String),
}

impl S3Objects {
    pub(super) async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Listed>> {
        let limit = usize::from(limit.min(1000));
        let mut listed = Vec::new();
        let mut from = From::After(after.map(str::to_owned));
        for _ in 0..PAGES_MAX {
            let page = self.page(prefix, &from, limit - listed.len()).await?;
            listed.extend(page.contents().iter().filter_map(named));
            if listed.len() >= limit || !page.is_truncated().unwrap_or_default() {
                return Ok(listed);
            }
            let last = page.contents().last().and_then(|object| object.key());
            let next = match (page.next_continuation_token(), last) {
                (Some(token), _) => From::Token(token.to_owned()),
                (None, Some(key)) => From::After(Some(key.to_owned())),
                (None, None) => from.clone(),
            };
            if next == from {
                return Err(self.stuck(prefix, "a page that leads nowhere"));
            }
            from = next;
        }
        Err(self.stuck(prefix, "too many short pages"))
    }

    async fn page(&self, prefix: &str, from: &From, limit: usize) -> Result<ListObjectsV2Output> {
        let keys_max = i32::try_from(limit).map_err(Error::internal)?;
        self.repeat(&format!("list {prefix}"), || {
            let request = self.client().list_objects_v2().bucket(&self.bucket);
            let request = match from {
                From::After(key) => request.set_start_after(key.clone()),
                From::Token(token) => request.continuation_token(token),
            };
            self.send(0, request.prefix(prefix).max_keys(keys_max).send())
        })
        .await
    }

    fn stuck(&self, prefix: &str, why: &str) -> Error {
        let bucket = &self.bucket;
        Error::unavailable(format!("store, bucket {bucket}, list {prefix}: {why}"))
    }
}

fn named(object: &Object) -> Option<Listed> {
    let size_bytes = object.size().and_then(|n| u64::try_from(n).ok());
    Some(Listed {
        key: object.key()?.to_owned(),
        size_bytes: size_bytes.unwrap_or(0),
    })
}
