//! The rows of a list, read page by page.

use std::collections::{HashSet, VecDeque};

use reqwest::Method;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use crate::{client::Client, retry::Failure};

/// The rows of a list, each returned once.
pub(crate) struct Rows<'a> {
    client: &'a Client,
    path: &'a str,
    query: &'a str,
    page: VecDeque<Value>,
    cursor: Option<String>,
    is_last: bool,
    seen: HashSet<String>,
}

impl<'a> Rows<'a> {
    /// Returns the rows of the list at `path` that match a query.
    pub(crate) fn new(client: &'a Client, path: &'a str, query: &'a str) -> Self {
        Self {
            client,
            path,
            query,
            page: VecDeque::new(),
            cursor: None,
            is_last: false,
            seen: HashSet::new(),
        }
    }

    /// Returns the next row, or `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(row) = self.page.pop_front() {
                if self.seen.insert(row["id"].to_string()) {
                    return Ok(Some(row));
                }
            }
            if self.is_last {
                return Ok(None);
            }
            self.read_page().await?;
        }
    }

    /// Reads all rows, and returns their number.
    pub(crate) async fn count(mut self) -> Result<usize, Failure> {
        while self.next().await?.is_some() {}
        Ok(self.seen.len())
    }

    /// Reads the next page, which may be short or empty: only a null cursor marks the last one.
    async fn read_page(&mut self) -> Result<(), Failure> {
        let mut path = format!("{}?{}", self.path, self.query);
        if let Some(cursor) = &self.cursor {
            path.push_str("&cursor=");
            path.extend(byte_serialize(cursor.as_bytes()));
        }
        let list = match self.client.ask(Method::GET, &path, None, None).await {
            // The class `restart_pagination`: starts at the first page again, without returning a row twice.
            Err(failure) if failure.is("invalid_cursor") && self.cursor.is_some() => {
                self.cursor = None;
                return Ok(());
            }
            list => list?,
        };
        self.page = list["data"].as_array().cloned().unwrap_or_default().into();
        self.cursor = list["next_cursor"].as_str().map(str::to_owned);
        self.is_last = self.cursor.is_none();
        Ok(())
    }
}
