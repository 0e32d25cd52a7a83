//! Lists, which come in pages: fetches as many as are wanted.

use std::num::NonZeroUsize;

use clap::Args;

use super::failure::Failure;

/// The flags of every command that lists.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PageFlags {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
    /// How many to ask for in one call
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(i32).range(1..=250))]
    pub(crate) page_size: i32,
}

/// Where a page starts, and how long it may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Page {
    pub(crate) size: i32,
    /// Empty: from the start.
    pub(crate) token: String,
}

/// Fetches pages until there are no more, or as many as are wanted. `fetch`
/// gives the items of a page and where the next one starts.
pub(crate) async fn all<T>(
    flags: PageFlags,
    mut fetch: impl AsyncFnMut(Page) -> Result<(Vec<T>, String), Failure>,
) -> Result<Vec<T>, Failure> {
    let limit = flags.limit.map_or(usize::MAX, NonZeroUsize::get);
    let (mut items, mut token) = (Vec::new(), String::new());
    while items.len() < limit {
        let wanted = i32::try_from(limit - items.len()).unwrap_or(i32::MAX);
        let page = Page {
            size: flags.page_size.min(wanted),
            token: token.clone(),
        };
        let (more, next) = fetch(page).await?;
        items.extend(more);
        if next.is_empty() {
            break;
        }
        token = further(&token, next)?;
    }
    items.truncate(limit);
    Ok(items)
}

/// Fetches pages until there are no more, and hands each to `take`.
pub(crate) async fn each<T>(
    size: i32,
    mut fetch: impl AsyncFnMut(Page) -> Result<(Vec<T>, String), Failure>,
    mut take: impl FnMut(Vec<T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut token = String::new();
    loop {
        let page = Page {
            size,
            token: token.clone(),
        };
        let (items, next) = fetch(page).await?;
        take(items)?;
        if next.is_empty() {
            return Ok(());
        }
        token = further(&token, next)?;
    }
}

/// Where the next page starts, which is elsewhere than this one.
fn further(token: &str, next: String) -> Result<String, Failure> {
    if next == token {
        return Err(Failure::failed(
            "the server sends the same page over and over",
        ));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_fetched_until_there_are_no_more_or_enough() {
        // Pages of two of five, the second of which is empty.
        let fetch = async |page: Page| {
            let (items, next) = match page.token.as_str() {
                "" => (vec![1, 2], "a"),
                "a" => (vec![], "b"),
                "b" => (vec![3, 4], "c"),
                _ => (vec![5], ""),
            };
            assert!(page.size <= 2);
            Ok((items, next.to_owned()))
        };
        for (limit, expected) in [(None, &[1, 2, 3, 4, 5][..]), (Some(3), &[1, 2, 3])] {
            let flags = PageFlags {
                limit: limit.and_then(NonZeroUsize::new),
                page_size: 2,
            };
            assert_eq!(all(flags, fetch).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_server_that_goes_round_in_circles_is_left() {
        let flags = PageFlags {
            limit: None,
            page_size: 2,
        };
        let fetch = async |_: Page| Ok((vec![1], "again".to_owned()));
        assert!(all(flags, fetch).await.is_err());
        assert!(each(2, fetch, |_| Ok(())).await.is_err());
    }
}
