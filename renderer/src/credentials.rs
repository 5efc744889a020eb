//! Credentials in clear text, found by how they look: a small table of shapes that their makers document, passwords in
//! URLs, and values of names such as `password` that no person would choose as an example.
//!
//! It finds what was forgotten, not what was hidden, and no finding holds what was found: only where, and of what kind.

use base64::Engine as _;

/// A credential in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Byte at which it begins.
    pub at: usize,
    /// Byte behind its last.
    pub end: usize,
    /// What it is, a noun: `a GitHub token`.
    pub what: &'static str,
}

/// A credential in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What it is, a noun.
    pub what: &'static str,
}

/// How a token begins, how many characters of its alphabet follow at least, and what it is.
struct Shape {
    begins: &'static str,
    least: usize,
    also: &'static str,
    what: &'static str,
}

const fn shape(begins: &'static str, least: usize, also: &'static str, what: &'static str) -> Shape {
    Shape { begins, least, also, what }
}

/// The table. After the beginning come letters, digits and `also`; a letter or digit before it makes it part of a word.
const SHAPES: &[Shape] = &[
    shape("ghp_", 30, "", "a GitHub token"),
    shape("gho_", 30, "", "a GitHub token"),
    shape("ghu_", 30, "", "a GitHub token"),
    shape("ghs_", 30, "", "a GitHub token"),
    shape("ghr_", 30, "", "a GitHub token"),
    shape("github_pat_", 30, "_", "a GitHub token"),
    shape("glpat-", 18, "_-.", "a GitLab token"),
    shape("gldt-", 18, "_-", "a GitLab deploy token"),
    shape("glptt-", 18, "_-", "a GitLab trigger token"),
    shape("glrt-", 18, "_-", "a GitLab runner token"),
    shape("AKIA", 16, "", "an AWS access key"),
    shape("ASIA", 16, "", "an AWS access key"),
    shape("AIza", 30, "_-", "a Google API key"),
    shape("xoxb-", 20, "-", "a Slack token"),
    shape("xoxp-", 20, "-", "a Slack token"),
    shape("sk-", 32, "_-", "an API key"),
    shape("sk_live_", 20, "", "a Stripe key"),
    shape("npm_", 34, "", "an npm token"),
    shape("pypi-AgE", 40, "_-", "a PyPI token"),
    shape("hf_", 30, "", "a Hugging Face token"),
    shape("dop_v1_", 60, "", "a DigitalOcean token"),
    shape("AGE-SECRET-KEY-1", 20, "", "an age identity"),
    shape("eyJhbGci", 40, "_-.=", "a JSON web token"),
];

/// Longest part of a line that is looked at: what is minified is made by programs, not by people who forget.
const MAX_LINE: usize = 4096;

/// The first credential of a line that can be told by itself.
#[must_use]
pub fn first(line: &str) -> Option<Found> {
    [token(line), in_url(cut(line))].into_iter().flatten().min_by_key(|found| found.at)
}

/// The first token or key of a line.
pub(crate) fn token(line: &str) -> Option<Found> {
    let line = cut(line);
    let token = SHAPES.iter().filter_map(|shape| shape.find(line));
    let key = line.find("-----BEGIN ").filter(|at| line[*at..].contains("PRIVATE KEY-----"));
    token.chain(key.map(|at| Found { at, end: line.len(), what: "a private key" })).min_by_key(|found| found.at)
}

/// The text with `***` for its tokens and keys.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let (piece, found) = (cut(rest), token(rest));
        let whole = piece.len() == rest.len();
        match found {
            // Where it ends is beyond what was looked at: nothing more is told.
            Some(found) if found.end == piece.len() && !whole => return out + &rest[..found.at] + "***",
            Some(found) => {
                out.push_str(&rest[..found.at]);
                out.push_str("***");
                rest = &rest[found.end..];
            }
            None if whole => return out + rest,
            // What begins near the end of the piece is found in the next one.
            None => {
                let half = piece.floor_char_boundary(MAX_LINE / 2).max(1);
                out.push_str(&rest[..half]);
                rest = &rest[half..];
            }
        }
    }
    out
}

fn cut(line: &str) -> &str {
    let end = (0..=line.len().min(MAX_LINE)).rev().find(|end| line.is_char_boundary(*end));
    &line[..end.unwrap_or_default()]
}

impl Shape {
    fn find(&self, line: &str) -> Option<Found> {
        line.match_indices(self.begins).find_map(|(at, _)| {
            let word = line[..at].bytes().next_back().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            let tail = &line[at + self.begins.len()..];
            let body = |c: &char| c.is_ascii_alphanumeric() || self.also.contains(*c);
            let (mut length, mut digits) = (0, 0);
            for c in tail.chars().take_while(body) {
                length += 1;
                digits += usize::from(c.is_ascii_digit());
            }
            // No token of this length is without a digit; a name in words is. One letter of it is one byte.
            let fits = !word && length >= self.least && digits > 0;
            fits.then_some(Found { at, end: line.len() - tail.len() + length, what: self.what })
        })
    }
}

/// `scheme://user:password@host`, where the password is one.
fn in_url(line: &str) -> Option<Found> {
    line.match_indices("://").find_map(|(at, _)| {
        let rest = &line[at + 3..];
        let authority = rest.split(['/', '?', '"', '\'', ' ', '`', '<', '>']).next().unwrap_or_default();
        let (_, password) = authority.rsplit_once('@')?.0.split_once(':')?;
        let start = line[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+').map_or(0, |before| before + 1);
        let end = at + 3 + authority.len();
        (!password.is_empty() && !is_stand_in(password)).then_some(Found {
            at: start,
            end,
            what: "a password in a URL",
        })
    })
}

/// Whether this name is likely to carry a credential.
#[must_use]
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    const WORDS: &[&str] = &[
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
        "ACCESS_KEY",
        "CREDENTIAL",
    ];
    WORDS.iter().any(|word| name.contains(word))
}

/// Whether a variable of this name with this value carries a credential: the value of an environment is nothing else, so
/// that the name alone decides.
#[must_use]
pub fn of_key(name: &str, value: &str) -> bool {
    let value = value.trim();
    let is_reference = value.starts_with(['/', '.'])
        || value.ends_with("_FILE")
        || name.ends_with("_FILE")
        || name.ends_with("_PATH")
        || name.ends_with("_URL");
    let plain =
        value.len() < 4 || matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "none" | "changeme");
    is_secret_name(name) && !is_reference && !plain
}

/// What a file is for, by which what stands in it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What stands unquoted behind a name is an expression.
    Program,
    /// What stands behind a name is its value: YAML, .env.
    Settings,
    /// It is there to log somebody in, as `replica.my.cnf`: a password need not look like one.
    Login,
    /// The same, in the words of `.netrc`: `machine h login u password p`.
    Netrc,
}

/// Credentials of a file, in order, one a line.
#[must_use]
pub fn scan(text: &str, kind: Kind) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (at, line) in crate::diagnostic::lines(text).enumerate() {
        let short = cut(line);
        let found = first(line).or_else(|| docker_auth(short)).or_else(|| match kind {
            Kind::Netrc => netrc(short),
            _ => assigned(short, kind),
        });
        let Some(found) = found else { continue };
        let column = line[..found.at].chars().count() + 1;
        hits.push(Hit { line: at + 1, column, what: found.what });
    }
    hits
}

/// `db_password = "x8Kq2..."`: a literal, under such a name, that looks drawn by lot.
fn assigned(line: &str, kind: Kind) -> Option<Found> {
    line.match_indices(['=', ':']).find_map(|(at, _)| {
        let name = line[..at].trim_end().trim_end_matches(['"', '\'', ']', ')']);
        let begin = name.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).map_or(0, |i| i + 1);
        let name = name.get(begin..).filter(|name| is_secret_name(name))?;
        let after = &line[at + 1..];
        let gap = after.len() - after.trim_start().len();
        let (value, quote) = literal(&after[gap..], kind).or_else(|| of_dsn(line, at))?;
        let (drawn, what) = match kind {
            Kind::Login => (true, "a password"),
            _ => (is_drawn(value), "what looks like a password"),
        };
        let begin = at + 1 + gap + quote;
        let fits = drawn && !is_stand_in(value) && of_key(name, value);
        fits.then_some(Found { at: begin, end: begin + value.len(), what })
    })
}

/// A quoted text, or a bare word where such a thing is a value; and the bytes of its quote.
fn literal(text: &str, kind: Kind) -> Option<(&str, usize)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quote {
        Some(quote) => text[1..].split_once(quote).map(|(value, _)| (value, 1)),
        None if kind != Kind::Program => text.split([' ', '\t', ',', ';', '}']).next().map(|value| (value, 0)),
        None => None,
    }
}

/// Of a program: the word behind a `=` that stands inside a quoted text, as in `"host=db user=me password=..."`.
fn of_dsn(line: &str, at: usize) -> Option<(&str, usize)> {
    let value = line[at..].strip_prefix('=')?;
    let mut open = None;
    for c in line[..at].chars().filter(|c| matches!(c, '"' | '\'')) {
        open = match open {
            None => Some(c),
            Some(quote) if quote == c => None,
            within => within,
        };
    }
    let end = value.find(|c: char| c.is_whitespace() || ";&,\"'".contains(c));
    open.and(Some((&value[..end.unwrap_or(value.len())], 0)))
}

/// The word behind `password`.
fn netrc(line: &str) -> Option<Found> {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    let at = line.match_indices("password").find_map(|(at, word)| {
        let behind = at + word.len();
        let alone = line[..at].chars().next_back().is_none_or(char::is_whitespace);
        (alone && line[behind..].starts_with(char::is_whitespace)).then_some(behind)
    })?;
    let begin = line.len() - line[at..].trim_start().len();
    let value = line[begin..].split_whitespace().next().filter(|value| !is_stand_in(value))?;
    Some(Found { at: begin, end: begin + value.len(), what: "a password" })
}

/// `"auth": "..."` as `docker login` writes it: name and password, in base64.
fn docker_auth(line: &str) -> Option<Found> {
    let behind = line.find("\"auth\"")? + "\"auth\"".len();
    let text = line[behind..].trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let begin = line.len() - text.len();
    let text = text.split('"').next()?;
    let plain = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()?;
    let (name, password) = plain.split_once(':')?;
    let fits = !name.is_empty() && !password.is_empty() && !plain.contains(char::is_control) && !is_stand_in(password);
    fits.then_some(Found { at: begin, end: begin + text.len(), what: "the login of a registry" })
}

/// No word: letters and digits, long, and many different ones.
fn is_drawn(value: &str) -> bool {
    let kinds = [
        value.bytes().any(|b| b.is_ascii_digit()),
        value.bytes().any(|b| b.is_ascii_lowercase()),
        value.bytes().any(|b| b.is_ascii_uppercase()),
    ];
    let blank = value.chars().any(char::is_whitespace);
    kinds[0] && (kinds[1] || kinds[2]) && !blank && (10..=512).contains(&value.len()) && entropy(value) >= 3.0
}

/// Bits a byte, by how often each stands in the text.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let share = |count: &u32| f64::from(*count) / text.len() as f64;
    counts.iter().filter(|count| **count > 0).map(share).map(|p| -p * p.log2()).sum()
}

/// Stands for a value: `${PASSWORD}`, `<password>`, `{password}`, `xxxx`, `example`.
fn is_stand_in(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words =
        ["example", "changeme", "change-me", "change_me", "placeholder", "dummy", "your-", "your_", "xxxx", "****"];
    value.contains(['$', '<', '>', '{', '}', '(', '%', '['])
        || matches!(lower.as_str(), "password" | "pass" | "secret" | "token" | "user" | "...")
        || words.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put together here, so that a scan of our own tree does not find them.
    fn token(begins: &str, tail: &str) -> String {
        format!("{begins}{tail}")
    }

    const TAIL: &str = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3";

    #[test]
    fn wherever_a_token_stands_in_a_long_text_it_is_taken_out() {
        let token = token("ghp_", TAIL);
        for before in [0, 2_000, 2_047, 4_000, 4_090, 4_096, 9_000] {
            let text = format!("{} {token} after", "\u{e4} ".repeat(before / 3));
            let told = without_tokens(&text);
            assert!(!told.contains(&TAIL[8..16]) && told.contains("***"), "{before}: {told}");
        }
        let key = format!("{}-----BEGIN RSA PRIVATE KEY-----\n{}", "x ".repeat(2_000), "secret line\n".repeat(500));
        assert!(!without_tokens(&key).contains("secret line"));
    }

    #[test]
    fn each_shape_is_found_where_it_begins_and_not_inside_a_word() {
        for shape in SHAPES {
            let one = token(shape.begins, TAIL);
            let found = first(&format!("key: {one}")).expect(shape.begins);
            assert_eq!((found.at, found.what), (5, shape.what), "{}", shape.begins);
            let short = token(shape.begins, &TAIL[..shape.least - 1]);
            assert_eq!(first(&short), None, "{short}");
            assert_eq!(first(&format!("x{one}")), None, "inside a word: {}", shape.begins);
        }
    }

    #[test]
    fn a_tree_without_credentials_is_not_suspected() {
        for line in [
            "password = os.environ[\"DB_PASSWORD\"]",
            "password: ${DB_PASSWORD}",
            "token = get_token(request1234567890)",
            "API_KEY: str = Field(...)",
            "url = 'https://user:password@host.example/x'",
            "mysql://{user}:{password}@tools.db/x",
            "sk-learn-is-a-name-that-people-write-in-lower-case-words",
            "secret_name: toolforge-secret-api-key",
            "password: your-password-12345-here",
            "PASSWORD_MIN_LENGTH = '12'",
            "connect(\"host=tools.db user=me password=%s\" % password)",
            "connect(f\"host=tools.db password={password1234567}\")",
            "dsn = \"host=db user=me password=your-password-1\"",
            "{\"auth\": \"bearer\"}",
            "{\"auth\": \"dXNlcjpwYXNzd29yZA==\"}",
            "{\"auth\": \"c29tZSBvdGhlciB0ZXh0\"}",
            "machine h login u password x8Kq2mPz71vT",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ] {
            assert_eq!(scan(line, Kind::Settings), [], "{line}");
        }
    }

    #[test]
    fn what_was_forgotten_is_found_with_its_line_and_column() {
        let password = token("x8Kq2mPz", "71vT");
        let text = format!(
            "[db]\npassword = {password}\nurl = mysql://me:hunter2@tools.db/x\n\"secret\": \"{password}\"\n-----BEGIN RSA PRIVATE KEY-----\n"
        );
        let found = |kind| -> Vec<_> { scan(&text, kind).iter().map(|h| (h.line, h.column, h.what)).collect() };
        let quoted = [(3, 7, "a password in a URL"), (4, 12, "what looks like a password"), (5, 1, "a private key")];
        assert_eq!(found(Kind::Settings)[0], (2, 12, "what looks like a password"));
        assert_eq!(found(Kind::Settings)[1..], quoted);
        assert_eq!(found(Kind::Program), quoted, "what stands unquoted in a program is an expression");
    }

    #[test]
    fn files_that_log_somebody_in_are_read_as_what_they_are() {
        let found =
            |text: &str, kind| -> Vec<_> { scan(text, kind).iter().map(|h| (h.line, h.column, h.what)).collect() };
        let cnf = "[client]\nuser = s51234\npassword = hunterhunter\n";
        assert_eq!(found(cnf, Kind::Login), [(3, 12, "a password")]);
        assert_eq!(found(cnf, Kind::Settings), [], "elsewhere a word is an example");
        assert_eq!(found("password = \npassword = <yours>\npassword = changeme\n", Kind::Login), []);
        let netrc =
            "machine h login me password hunter\nmachine i\n  login me\n  password\tx\n# the password is asked for\n";
        assert_eq!(found(netrc, Kind::Netrc), [(1, 29, "a password"), (4, 12, "a password")]);
        assert_eq!(found("default login password password <password>\n", Kind::Netrc), []);
        let docker = "{\"auths\": {\"r.example\": {\"auth\": \"bWU6aHVudGVyMg==\"}}}";
        assert_eq!(found(docker, Kind::Program), [(1, 35, "the login of a registry")]);
        let password = token("x8Kq2mPz", "71vT");
        for dsn in
            [format!("c = connect(\"host=db password={password}\")"), format!("X('a=b;Password={password};c=d')")]
        {
            assert_eq!(found(&dsn, Kind::Program).len(), 1, "{dsn}");
        }
        assert_eq!(found("connect('host=db', password=settings1234.key)", Kind::Program), [], "an expression");
    }

    #[test]
    fn hostile_lines_take_no_time() {
        for line in ["://".repeat(400_000), "=".repeat(1_000_000), "ghp_".repeat(300_000), "password:".repeat(100_000)]
        {
            for kind in [Kind::Program, Kind::Settings, Kind::Netrc] {
                assert_eq!(scan(&line, kind), []);
            }
            assert!(scan(&line, Kind::Login).len() <= 1, "one a line");
        }
    }
}
