//! What the router itself answers: what is wrong, and the next step. Plain text, for people in a browser as at a terminal.

use super::table::Nowhere;
use http::StatusCode;

/// An answer of the router's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Page {
    fn new(status: StatusCode, what: &str, next: &str) -> Self {
        Self { status, text: format!("{}: {what}\n\n{next}\n", status.as_u16()) }
    }

    /// For a request that no table is asked about.
    pub(super) fn bad_request(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what, "Send it again as a browser would.")
    }

    /// For a request that goes nowhere.
    pub(super) fn of(why: &Nowhere, host: &str, port: u16) -> Self {
        match why {
            Nowhere::NotYet => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the router has just started and does not know all routes",
                "Try again in a moment.",
            ),
            Nowhere::NoHost(hosts) if hosts.is_empty() => Self::new(
                StatusCode::NOT_FOUND,
                &format!("nothing is published at {host}, nor anywhere else here"),
                "Write `publish: /` and a `port` into the `run` of a component, and commit.",
            ),
            Nowhere::NoHost(hosts) => {
                let all: Vec<_> = hosts.iter().map(|host| format!("http://{host}:{port}/")).collect();
                let next = format!("There is:\n{}", all.join("\n"));
                Self::new(StatusCode::NOT_FOUND, &format!("nothing is published at {host}"), &next)
            }
            Nowhere::NoPath(paths) => {
                let next = format!("There is: {}", paths.join(", "));
                Self::new(StatusCode::NOT_FOUND, &format!("nothing is published at this path of {host}"), &next)
            }
            Nowhere::NoService(what) => {
                Self::new(StatusCode::BAD_GATEWAY, what, "Run `toolforge status` to see what the tool waits for.")
            }
            Nowhere::NotReady(service, words) if words.is_empty() => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{service} has no pods"),
                "Run `toolforge status` to see what the tool waits for.",
            ),
            Nowhere::NotReady(service, words) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("no pod of {service} is ready\n{}", words.join("\n")),
                "Run `toolforge logs` to see what it says.",
            ),
        }
    }

    /// For a pod that broke off.
    pub(super) fn broken(service: &str, what: &str) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            &format!("{service} did not answer: {what}"),
            "Run `toolforge logs` to see what it says.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_is_wrong_and_what_to_do() {
        let page = |why: Nowhere| Page::of(&why, "b.localhost", 8080);
        let unknown = page(Nowhere::NoHost(vec!["a.localhost".to_owned()]));
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        assert_eq!(unknown.text, "404: nothing is published at b.localhost\n\nThere is:\nhttp://a.localhost:8080/\n");
        let unready = page(Nowhere::NotReady("tool-a/web".to_owned(), vec!["web-1: CrashLoopBackOff".to_owned()]));
        assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(unready.text.contains("web-1: CrashLoopBackOff") && unready.text.contains("toolforge logs"));
    }
}
