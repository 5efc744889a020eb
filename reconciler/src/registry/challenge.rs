//! What a registry wants before it answers: its `WWW-Authenticate` header.

/// How to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with the request.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The first challenge of a response that we can meet.
    pub(super) fn of(response: &reqwest::Response) -> Option<Self> {
        response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(Self::parse)
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |wanted: &str| {
            parameters(rest).into_iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        Some(Self::Bearer { realm: parameter("realm")?, service: parameter("service") })
    }
}

/// `a="b",c="d, e"`: a comma inside quotes separates nothing.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.find(',').map_or((after, ""), |comma| after.split_at(comma)),
        };
        let name = name.trim_start_matches([',', ' ']).trim();
        found.push((name.to_owned(), value.trim().to_owned()));
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commas_separate_nothing() {
        let value = r#"Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push""#;
        assert_eq!(
            Challenge::parse(value),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("a, b".to_owned()),
            })
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Digest x=1"), None);
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }
}
