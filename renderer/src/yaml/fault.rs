//! Why a text is no YAML, in words for a person. The parser knows what it expected; a person wants to know what to type.

use super::read::{MAX_BYTES, Stop};
use crate::diagnostic::{Code, Findings, Place, lines};
use granit_parser::{ErrorKind, ScanError};

/// The bytes as text; none, and a finding, where they are too many or no text.
pub(crate) fn text<'a>(bytes: &'a [u8], findings: &mut Findings) -> Option<&'a str> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", bytes.len());
        findings.add(Code::FileTooLarge, None, message);
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            not_utf8(bytes, error.valid_up_to(), findings);
            return None;
        }
    };
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    if let Some(at) = text.find(forbidden) {
        let (line, column) = position(&text[..at]);
        let code = text[at..].chars().next().map_or(0, u32::from);
        findings.add(
            Code::ControlCharacter,
            place(line, column, 1),
            format!("the control character U+{code:04X} is not allowed in YAML"),
        );
        return None;
    }
    Some(text)
}

fn not_utf8(bytes: &[u8], valid: usize, findings: &mut Findings) {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        findings.add(Code::NotUtf8, None, "the file is UTF-16 text, not UTF-8");
        return;
    }
    let (line, column) = position(&String::from_utf8_lossy(&bytes[..valid]));
    let message = "the file is not UTF-8 text: a byte belongs to no character";
    findings.add(Code::NotUtf8, place(line, column, 1), message);
}

/// Line from 1 and column from 0 of the end of a text.
fn position(before: &str) -> (usize, usize) {
    let line = lines(before).count();
    let column = lines(before).last().map_or(0, |l| l.chars().count());
    (line, column)
}

/// Line from 1, column from 0, as the parser counts.
pub(super) fn place(line: usize, column: usize, width: usize) -> Place {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: small(line.max(1)), column: small(column).saturating_add(1), width: small(width.max(1)) }
}

/// The parser may point behind the end of a line or of the text.
pub(super) fn clamp(text: &str, place: Place) -> Place {
    let mut last = (1, "");
    for (at, line) in lines(text).enumerate() {
        if at > 0 && line.is_empty() && at + 1 > place.line as usize {
            break;
        }
        last = (at + 1, line);
        if at + 1 == place.line as usize {
            break;
        }
    }
    let length = last.1.chars().count();
    let column = if last.0 == place.line as usize { place.column as usize - 1 } else { length };
    self::place(last.0, column.min(length), place.width as usize)
}

/// One syntax error as a person reads it.
pub(super) fn explain(text: &str, error: &ScanError) -> Stop {
    let marker = error.marker();
    let line = lines(text).nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let at = place(marker.line(), marker.col(), 1);
    let (code, message, hint) = said(error.kind(), line);
    let place = if is_flow(error.kind()) { open_bracket(text, at) } else { value_start(line, at, code) };
    Stop { code, place, message, hint }
}

/// The bracket that is still open where the parser gave up: people look for the one they forgot to close.
fn open_bracket(text: &str, at: Place) -> Place {
    let mut open: Vec<Place> = Vec::new();
    for (number, line) in lines(text).enumerate().take(at.line as usize) {
        let (mut quote, mut before) = (None, ' ');
        for (column, c) in line.chars().enumerate() {
            let starts = before.is_whitespace() || "[{,".contains(before);
            match (quote, c) {
                (Some(mark), _) if mark == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if starts => quote = Some(c),
                (None, '#') if before.is_whitespace() => break,
                (None, '[' | '{') if starts => open.push(place(number + 1, column, 1)),
                (None, ']' | '}') => drop(open.pop()),
                _ => {}
            }
            before = c;
        }
    }
    open.pop().unwrap_or(at)
}

/// For a value that lacks quotes the caret stands at the value, not where the parser gave up.
fn value_start(line: &str, at: Place, code: Code) -> Place {
    if !matches!(code, Code::YamlAlias | Code::YamlReserved) {
        return at;
    }
    let Some((before, value)) = unquoted_value(line) else {
        return at;
    };
    place(at.line as usize, line[..before].chars().count(), value.chars().count())
}

/// What stands after `key: ` or `- ` on a line, if it is not quoted, and at which byte.
fn unquoted_value(line: &str) -> Option<(usize, &str)> {
    let indent = line.len() - line.trim_start().len();
    let item = || line[indent..].starts_with("- ").then_some(indent);
    let rest = &line[line.find(": ").or_else(item)? + 2..];
    let value = rest.trim_start();
    let before = line.len() - value.len();
    let value = value.trim_end();
    (!value.is_empty() && !value.starts_with(['"', '\''])).then_some((before, value))
}

fn said(kind: &ErrorKind, line: &str) -> (Code, String, Option<String>) {
    use ErrorKind as E;
    let (_, value) = unquoted_value(line).unwrap_or_default();
    let syntax = |message: &str, hint: &str| (Code::YamlSyntax, message.to_owned(), Some(hint.to_owned()));
    if value.starts_with('*') {
        let message = "an unquoted `*` starts an alias in YAML";
        return (
            Code::YamlAlias,
            message.to_owned(),
            Some("Write the value in quotes, like `schedule: \"*/2 * * * *\"`.".to_owned()),
        );
    }
    match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabAtBlockScalarStart
        | E::TabInIndentation
        | E::TabInPlainScalar
        | E::InvalidBlockEntryWhitespace
        | E::InvalidMappingValueWhitespace => (Code::YamlTab, "a tab is used where YAML wants spaces".to_owned(), None),
        _ if line.starts_with('\t') => (Code::YamlTab, "the line is indented with a tab".to_owned(), None),
        E::UnknownAnchor | E::MissingAnchorOrAliasName => {
            (Code::YamlAlias, "an alias or anchor without a meaning".to_owned(), None)
        }
        E::UnexpectedCharacter { character } => {
            let character = if *character == '`' { "a backtick".to_owned() } else { format!("`{character}`") };
            let message = format!("a value cannot start with {character} in YAML");
            (Code::YamlReserved, message, Some("Write the value in quotes, like `schedule: \"@daily\"`.".to_owned()))
        }
        E::RecursionLimitExceeded => (Code::YamlTooDeep, "values are nested more than 32 deep".to_owned(), None),
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => syntax(
            "a `:` is not expected here",
            "Put the value in quotes if it contains `: `; otherwise check the indentation of this line.",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey | E::ExpectedBlockMappingKey => {
            syntax("`key: value` is expected here", "Check the indentation, and that `: ` follows the key.")
        }
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            syntax("a quoted text is not closed", "Add the missing quote.")
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            syntax("something stands after a quoted text", "Put the whole value in quotes.")
        }
        E::UnknownQuotedScalarEscape => {
            syntax("an unknown `\\` escape in double quotes", "Use single quotes, or write `\\\\`.")
        }
        E::InvalidIndentation
        | E::InvalidBlockScalarIndent
        | E::InvalidQuotedScalarIndent
        | E::InvalidFlowScalarIndent => {
            syntax("the line is indented wrongly", "Indent it like its neighbours, with spaces.")
        }
        E::ExpectedBlockSequenceEntry | E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            syntax("a `- ` list item is not expected here", "Indent all items of a list alike.")
        }
        _ if is_flow(kind) => syntax(
            "a `[` or `{` is not closed, or a comma is missing",
            "Close the bracket; put text that starts with a bracket in quotes.",
        ),
        other => syntax(&lower(&other.to_string()), "Compare the line with the examples in docs/toolforge-yaml.md."),
    }
}

fn is_flow(kind: &ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        kind,
        E::UnexpectedEofFlowSequence
            | E::UnexpectedEofFlowMapping
            | E::UnexpectedEofImplicitFlowMapping
            | E::ExpectedFlowMappingSeparator
            | E::ExpectedFlowSequenceSeparator
            | E::MisplacedFlowCollectionEnd
            | E::MismatchedFlowCollectionEnd { .. }
            | E::UnclosedFlowCollection { .. }
            | E::FlowMappingValueAdjacentCollection
    )
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
