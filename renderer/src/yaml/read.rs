//! Parser events to a tree. No recursion while reading, and nothing is copied beyond a budget.

use super::fault;
use super::{Entry, Mapping, Node, Scalar, Value};
use crate::diagnostic::{Code, Findings, Place, shown};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use std::collections::{BTreeMap, HashMap};

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of values.
pub const MAX_DEPTH: usize = 32;
/// Most values in one file, after aliases are expanded.
pub const MAX_NODES: usize = 100_000;
/// Most values that anchors and aliases may copy.
const MAX_COPIED: usize = 20_000;
/// Most bytes of keys and scalars that they may copy: as much again as the largest file.
const MAX_COPIED_BYTES: usize = MAX_BYTES;

/// Reads one document. None, and a finding, where the text as a whole cannot be understood.
pub fn read(bytes: &[u8], findings: &mut Findings) -> Option<Node> {
    let text = fault::text(bytes, findings)?;
    let mut options = Options::default();
    options.emit_comments = false;
    // One more than ours, so that our own message is the one that is seen.
    options.flow_nesting_limit = MAX_DEPTH + 2;
    options.block_nesting_limit = MAX_DEPTH + 2;
    let mut tree = Tree::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let stop = match event {
            Ok((event, span)) => tree.take(event, span).err(),
            Err(error) => Some(fault::explain(text, &error)),
        };
        if let Some(stop) = stop {
            let place = fault::clamp(text, stop.place);
            let finding = findings.add(stop.code, place, stop.message);
            if let Some(hint) = stop.hint {
                finding.with_hint(hint);
            }
            return None;
        }
    }
    match tree.root {
        Some(root) if !root.is_null() => Some(root),
        _ => {
            findings.add(Code::EmptyFile, None, "the file holds nothing");
            None
        }
    }
}

/// What ends the reading.
pub(super) struct Stop {
    pub code: Code,
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

impl Stop {
    fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self { code, place, message: message.into(), hint: None }
    }
}

#[derive(Default)]
struct Tree {
    root: Option<Node>,
    documents: usize,
    open: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    copied: usize,
    copied_bytes: usize,
}

/// How much a complete value is.
#[derive(Clone, Copy)]
struct Size {
    /// Values, itself included.
    nodes: usize,
    /// Sum of the lengths of its keys and scalars.
    bytes: usize,
    /// How deep they nest.
    height: usize,
}

/// A collection whose end has not come yet.
struct Frame {
    anchor: usize,
    place: Place,
    size: Size,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Node>),
    Mapping(Box<Pairs>),
}

#[derive(Default)]
struct Pairs {
    done: Mapping,
    places: BTreeMap<String, Place>,
    pending: Option<(String, Place)>,
    merges: Vec<Node>,
}

struct Anchored {
    node: Node,
    size: Size,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = place_of(&span);
        let tagged = span.tag_span().map_or(place, |tag| place_of(&tag));
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Stop::new(Code::SecondDocument, place, "a second document begins here"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = plain(style, tag.as_deref(), tagged)?;
                let size = Size { nodes: 1, bytes: text.len(), height: 1 };
                let scalar = Scalar { text: text.into_owned(), is_plain };
                let node = Node { place, value: Value::Scalar(scalar) };
                self.count(1, place)?;
                self.close(node, anchor, size)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                untagged(tag.as_deref(), tagged)?;
                self.start(anchor, place, Kind::Sequence(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                untagged(tag.as_deref(), tagged)?;
                self.start(anchor, place, Kind::Mapping(Box::default()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => self.alias(anchor, place)?,
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Stop::new(Code::YamlTooLarge, place, format!("more than {MAX_NODES} values in one file")));
        }
        Ok(())
    }

    fn start(&mut self, anchor: usize, place: Place, kind: Kind) -> Result<(), Stop> {
        if let Some(Frame { kind: Kind::Mapping(pairs), .. }) = self.open.last()
            && pairs.pending.is_none()
        {
            return Err(Stop::new(Code::WrongType, place, "a key must be text, but this one is a list or a mapping"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.count(1, place)?;
        self.open.push(Frame { anchor, place, size: Size { nodes: 1, bytes: 0, height: 1 }, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.open.pop() else {
            return Ok(());
        };
        let value = match frame.kind {
            Kind::Sequence(items) => Value::Sequence(items),
            Kind::Mapping(pairs) => Value::Mapping(pairs.merged()?),
        };
        let node = Node { place: frame.place, value };
        self.close(node, frame.anchor, frame.size)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some(found) = self.anchors.get(&anchor) else {
            let hint = Some("Remove the alias, or write the value out.".to_owned());
            return Err(Stop { hint, ..Stop::new(Code::YamlAlias, place, "an alias inside the value it stands for") });
        };
        let size = found.size;
        if self.open.len() + size.height > MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.count(size.nodes, place)?;
        self.copy(size, place)?;
        let node = self.anchors.get(&anchor).map(|found| found.node.clone());
        node.map_or(Ok(()), |node| self.close(node, 0, size))
    }

    fn copy(&mut self, size: Size, place: Place) -> Result<(), Stop> {
        self.copied += size.nodes;
        self.copied_bytes += size.bytes;
        let most = if self.copied > MAX_COPIED {
            format!("{MAX_COPIED} values")
        } else if self.copied_bytes > MAX_COPIED_BYTES {
            format!("{MAX_COPIED_BYTES} bytes")
        } else {
            return Ok(());
        };
        Err(Stop::new(Code::YamlTooLarge, place, format!("anchors and aliases copy more than {most}")))
    }

    /// A value is complete: it becomes the root, an item, a key or a key's value.
    fn close(&mut self, node: Node, anchor: usize, size: Size) -> Result<(), Stop> {
        if anchor > 0 {
            self.copy(size, node.place)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.size.nodes += size.nodes;
        frame.size.bytes += size.bytes;
        frame.size.height = frame.size.height.max(size.height + 1);
        match &mut frame.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(pairs) => pairs.take(node)?,
        }
        Ok(())
    }
}

impl Pairs {
    fn take(&mut self, node: Node) -> Result<(), Stop> {
        let Some((key, key_place)) = self.pending.take() else {
            let Some(scalar) = node.scalar() else {
                return Err(Stop::new(
                    Code::WrongType,
                    node.place,
                    "a key must be text, but this one is a list or a mapping",
                ));
            };
            self.pending = Some((scalar.text.clone(), node.place));
            return Ok(());
        };
        if key == "<<" {
            self.merges.push(node);
        } else if let Some(first) = self.places.get(&key) {
            self.done.duplicates.push((key, *first, key_place));
        } else {
            self.places.insert(key.clone(), key_place);
            self.done.entries.push(Entry { key, key_place, value: node });
        }
        Ok(())
    }

    /// `<<`: entries of other mappings where this one has none of its own.
    fn merged(mut self) -> Result<Mapping, Stop> {
        for merge in std::mem::take(&mut self.merges) {
            let place = merge.place;
            let sources = match merge.value {
                Value::Sequence(items) => items,
                value => vec![Node { place, value }],
            };
            for source in sources {
                let Value::Mapping(mapping) = source.value else {
                    return Err(Stop::new(Code::WrongType, place, "`<<` must name a mapping"));
                };
                self.done.duplicates.extend(mapping.duplicates);
                for entry in mapping.entries {
                    if !self.places.contains_key(&entry.key) {
                        self.places.insert(entry.key.clone(), entry.key_place);
                        self.done.entries.push(entry);
                    }
                }
            }
        }
        Ok(self.done)
    }
}

fn too_deep(place: Place) -> Stop {
    Stop::new(Code::YamlTooDeep, place, format!("values are nested more than {MAX_DEPTH} deep"))
}

fn bad_tag(tag: &Tag, place: Place) -> Stop {
    Stop::new(Code::YamlTag, place, format!("the YAML tag {} is not supported", shown(&tag.original())))
}

/// Collections may say what they are, and no more.
fn untagged(tag: Option<&Tag>, place: Place) -> Result<(), Stop> {
    let own = |tag: &&Tag| tag.is_yaml_core_schema_tag("map") || tag.is_yaml_core_schema_tag("seq");
    tag.filter(|tag| !own(tag)).map_or(Ok(()), |tag| Err(bad_tag(tag, place)))
}

fn plain(style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<bool, Stop> {
    match tag {
        None => Ok(style == ScalarStyle::Plain),
        Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.original() == "!" => Ok(false),
        Some(tag) => Err(bad_tag(tag, place)),
    }
}

/// granit counts lines from 1 and columns from 0.
fn place_of(span: &Span) -> Place {
    let width = if span.end.line() == span.start.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    fault::place(span.start.line(), span.start.col(), width)
}
