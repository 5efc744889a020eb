//! What a build depends on, and therefore when there is nothing to build.
//!
//! A [`BuildId`] names everything that can change what a build makes, and nothing else: the same tree with the same
//! packages and builder has the same id in every repository, on every branch and under every component, so a promotion
//! or a rename builds nothing. The run image is no part of it: a new one is a rebase.

use crate::config::{Build, Config, Source};
use crate::length_prefixed::LengthPrefixed;
use crate::names::{BuildId, ComponentName, ToolName, TreeId};
use crate::platform::{Builder, Registry};
use crate::revision::SourceRef;
use crate::tool::Tool;
use std::collections::{BTreeMap, BTreeSet};

/// Changes when builds are made in a way that old images cannot stand for.
const FORMAT: &str = "toolforge build 1";

/// What a build depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInputs {
    /// The source's tree.
    pub tree: TreeId,
    /// Debian packages; their order says nothing.
    pub packages: BTreeSet<String>,
    /// Buildpacks in order, each `name` and reference with digest; none lets the builder choose.
    pub buildpacks: Vec<(String, String)>,
    /// Environment of the build.
    pub envvars: BTreeMap<String, String>,
    /// The builder's digest, or its whole reference where it has none.
    pub builder: String,
    /// Target platform, `linux/amd64`.
    pub target: String,
    /// `use_latest_versions`: a build of its own.
    pub latest: bool,
    /// `build.nonce`: a build of its own for each value.
    pub nonce: Option<String>,
}

impl BuildInputs {
    /// The inputs of a build of this tree on this platform.
    ///
    /// # Errors
    /// The name of the first buildpack that the platform does not allow.
    pub fn new(tree: TreeId, build: &Build, builder: &Builder) -> Result<Self, String> {
        let buildpacks = build
            .buildpacks
            .iter()
            .map(|name| {
                let reference = builder.buildpacks.get(name).ok_or_else(|| name.clone())?;
                Ok((name.clone(), content(reference).to_owned()))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            tree,
            packages: build.packages.iter().cloned().collect(),
            buildpacks,
            envvars: build.envvars.clone(),
            builder: content(&builder.image).to_owned(),
            target: builder.target.clone(),
            latest: build.use_latest_versions,
            nonce: build.nonce.clone(),
        })
    }

    /// The inputs, hashed.
    #[must_use]
    pub fn id(&self) -> BuildId {
        let mut hash = LengthPrefixed::new(FORMAT);
        hash.text(self.tree.as_str())
            .list(self.packages.iter().map(String::as_str))
            .list(self.buildpacks.iter().flat_map(|(name, reference)| [name.as_str(), reference.as_str()]))
            .map(&self.envvars)
            .text(&self.builder)
            .text(&self.target)
            .text(if self.latest { "latest" } else { "" })
            .optional(self.nonce.as_deref());
        BuildId::of_sha256(&hash.sha256())
    }
}

/// What an image reference stands for: its digest if it names one, for the same image under another name is the same.
fn content(reference: &str) -> &str {
    reference.split_once('@').map_or(reference, |(_, digest)| digest)
}

/// Registry path of a component's images, without tag: `<registry>/tool-<tool>/<component>`.
#[must_use]
pub fn image_repository(registry: &Registry, tool: &ToolName, component: &ComponentName) -> String {
    format!("{}/{}/{component}", registry.host, tool.namespace())
}

/// Whether a reference names an image that is another tool's: below our registry, under a `tool-` path that is not
/// this tool's. Host and port may be written in several ways; what else lies in the registry is the operators' to allow.
#[must_use]
pub fn is_of_another_tool(registry: &Registry, tool: &ToolName, reference: &str) -> bool {
    let (ours, reference) = (canonical(&format!("{}/", registry.host)), canonical(reference));
    let Some(path) = reference.strip_prefix(&ours).filter(|path| path.starts_with("tool-")) else {
        return false;
    };
    !path.strip_prefix(&tool.namespace()).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether two references name one image, whatever their digests: host, path and tag are the same.
#[must_use]
pub fn same_image(one: &str, other: &str) -> bool {
    let name = |reference: &str| {
        let name = canonical(reference.split_once('@').map_or(reference, |(name, _)| name));
        let name = name.strip_prefix("docker.io/library/").map_or(name.clone(), |short| format!("docker.io/{short}"));
        let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        if has_tag { name } else { format!("{name}:latest") }
    };
    name(one) == name(other)
}

/// A reference with its host written one way: in lower case, without the default port, and never left out.
fn canonical(reference: &str) -> String {
    let (first, path) = reference.split_once('/').unwrap_or(("", reference));
    let is_host = first == "localhost" || first.contains(|c: char| c == '.' || c == ':' || c.is_ascii_uppercase());
    if !is_host {
        return format!("docker.io/{reference}");
    }
    let (name, port) = first.split_once(':').unwrap_or((first, ""));
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match (name.as_str(), port.parse::<u16>()) {
        ("index.docker.io" | "registry-1.docker.io", _) => format!("docker.io/{path}"),
        (name, Err(_) | Ok(80 | 443)) => format!("{name}/{path}"),
        (name, Ok(port)) => format!("{name}:{port}/{path}"),
    }
}

/// Where a component is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The tool's own repository at the revision being rendered.
    Own,
    /// As written: another repository, or a tag, commit or other branch of the own one.
    Other(SourceRef),
}

/// The branches of tools that this tool is joined with by `promotion`, in the same repository: the same file on `beta`
/// and on `main` means each time its own revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Siblings {
    branches: BTreeSet<String>,
    /// Their names, its own among them.
    pub tools: BTreeSet<ToolName>,
}

impl Siblings {
    /// The siblings of a tool among all tools of the config repository: joined directly or through others.
    #[must_use]
    pub fn of(tool: &Tool, tools: &[Tool]) -> Self {
        let mut joined = BTreeSet::from([&tool.name]);
        loop {
            let more: Vec<&ToolName> = tools
                .iter()
                .filter_map(|other| Some((&other.name, &other.promotion.as_ref()?.from)))
                .filter(|(to, from)| joined.contains(to) != joined.contains(from))
                .flat_map(|(to, from)| [to, from])
                .collect();
            if more.is_empty() {
                break;
            }
            joined.extend(more);
        }
        let branches = tools
            .iter()
            .filter(|other| joined.contains(&other.name) && same_repository(&other.repository, &tool.repository))
            .map(|other| other.branch.clone())
            .collect();
        let tools = joined.into_iter().cloned().collect();
        Self { branches, tools }
    }
}

/// Where a `build:` of this tool's file is built from.
#[must_use]
pub fn origin(build: &Build, tool: &Tool, siblings: &Siblings) -> Origin {
    let reference = build.reference.as_deref().filter(|reference| !reference.is_empty()).unwrap_or("HEAD");
    let own = build.repository.as_deref().is_none_or(|repository| same_repository(repository, &tool.repository));
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
    if own && (branch == "HEAD" || branch == tool.branch || siblings.branches.contains(branch)) {
        return Origin::Own;
    }
    Origin::Other(SourceRef {
        repository: build.repository.clone().unwrap_or_else(|| tool.repository.clone()),
        reference: reference.to_owned(),
    })
}

/// The sources that have to be resolved before this config can be rendered completely, besides the tool's own revision.
#[must_use]
pub fn sources_needed(config: &Config, tool: &Tool, siblings: &Siblings) -> BTreeSet<SourceRef> {
    config
        .components
        .values()
        .filter_map(|component| match &component.source {
            Source::Build(build) => Some(origin(build, tool, siblings)),
            Source::Reuse(_) | Source::Image(_) => None,
        })
        .filter_map(|origin| match origin {
            Origin::Own => None,
            Origin::Other(source) => Some(source),
        })
        .collect()
}

/// Whether two URLs name one repository: host and path are equal in lower case, without `.git`, whatever the scheme,
/// the user and the scheme's own port.
#[must_use]
pub fn same_repository(a: &str, b: &str) -> bool {
    place(a) == place(b)
}

/// Host and path of a repository URL, scp-like address or absolute path.
fn place(url: &str) -> String {
    let url = url.trim().to_ascii_lowercase();
    let (host, path) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (host(authority, default_port(scheme)), path)
        }
        // `git@host:path`; a slash before the colon makes it a path.
        None => match url.split_once(':').filter(|(host, _)| !host.contains('/')) {
            Some((authority, path)) => (host(authority, ""), path),
            None => (String::new(), url.as_str()),
        },
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    format!("{host}/{}", path.trim_end_matches('/'))
}

fn host(authority: &str, default_port: &str) -> String {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let without_port = host.strip_suffix(default_port).and_then(|host| host.strip_suffix(':'));
    without_port.unwrap_or(host).to_owned()
}

fn default_port(scheme: &str) -> &'static str {
    match scheme {
        "https" => "443",
        "http" => "80",
        "ssh" => "22",
        "git" => "9418",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Promotion;

    fn tool(tool: &str, branch: &str, from: Option<&str>) -> Tool {
        let name = |name: &str| ToolName::new(name).expect("a name");
        Tool {
            branch: branch.to_owned(),
            promotion: from.map(|from| Promotion { from: name(from), soak_secs: 0 }),
            ..Tool::of(name(tool), "https://git.example/wordcount.git")
        }
    }

    fn build(repository: Option<&str>, reference: Option<&str>) -> Build {
        Build { repository: repository.map(str::to_owned), reference: reference.map(str::to_owned), ..Build::default() }
    }

    #[test]
    fn one_repository_has_many_addresses() {
        let same = [
            "https://git.example/Group/Tool",
            "https://git.example/group/tool.git",
            "http://GIT.example:80/group/tool/",
            "https://user:token@git.example:443/group/tool",
            "ssh://git@git.example/group/tool.git",
            "git@git.example:group/tool.git",
            "git://git.example:9418/group/tool",
        ];
        for url in same {
            assert!(same_repository(url, same[0]), "{url}");
        }
        for other in ["https://git.example/group/tool2", "https://git.example:8443/group/tool", "/group/tool", ""] {
            assert!(!same_repository(other, same[0]), "{other}");
        }
        assert!(same_repository("file:///srv/git/a.git", "/srv/git/a"));
    }

    #[test]
    fn no_spelling_of_our_registry_reaches_another_tool() {
        let own = ToolName::new("w").expect("a name");
        let is_foreign = |host: &str, reference: &str| {
            is_of_another_tool(&Registry { host: host.to_owned(), credentials: None, quota: None }, &own, reference)
        };
        for (host, reference) in [
            ("registry.example", "registry.example/tool-v/web:1"),
            ("registry.example", "Registry.EXAMPLE/tool-v/web"),
            ("registry.example", "registry.example:443/tool-v/web"),
            ("registry.example", "registry.example:0443/tool-v/web"),
            ("registry.example", "registry.example./tool-v/web"),
            ("Registry.example:443", "registry.example/tool-v/web"),
            ("registry.example:5000/a", "registry.example:05000/a/tool-v/web"),
            ("registry.example", "registry.example/tool-w2/web"),
            ("registry.example", "registry.example/tool-v"),
            ("localhost:5000", "localhost:5000/tool-v/web"),
            ("docker.io/a", "a/tool-v/web"),
            ("a", "index.docker.io/a/tool-v/web"),
        ] {
            assert!(is_foreign(host, reference), "{host} {reference}");
        }
        for (host, reference) in [
            ("registry.example", "registry.example/tool-w/web:1"),
            ("registry.example", "REGISTRY.example:443/tool-w/a/b"),
            ("registry.example", "registry.example/library/tool-v:1"),
            ("registry.example", "registry.example:5000/tool-v/web"),
            ("registry.example", "other.example/tool-v/web"),
            ("registry.example/a", "registry.example/ab/tool-v/web"),
            ("registry.example", "tool-v/web"),
            ("registry.example", "tool-v"),
        ] {
            assert!(!is_foreign(host, reference), "{host} {reference}");
        }
    }

    #[test]
    fn an_image_is_the_same_whatever_its_digest_and_another_with_another_tag() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for (one, other) in [
            ("registry.example/run:24".to_owned(), format!("Registry.example:443/run:24{digest}")),
            (format!("run{digest}"), "docker.io/library/run:latest".to_owned()),
        ] {
            assert!(same_image(&one, &other), "{one} {other}");
        }
        for other in ["registry.example/run:26", "registry.example/run", "other.example/run:24"] {
            assert!(!same_image("registry.example/run:24", other), "{other}");
        }
    }

    #[test]
    fn the_same_file_on_beta_builds_beta() {
        let tools = [
            tool("w", "main", Some("w-beta")),
            tool("w-beta", "beta", Some("w-alpha")),
            tool("w-alpha", "alpha", None),
            tool("x", "x", None),
        ];
        let repository = Some("https://git.example/wordcount");
        for own in &tools[..3] {
            let siblings = Siblings::of(own, &tools);
            for reference in [None, Some(""), Some("HEAD"), Some("main"), Some("beta"), Some("refs/heads/alpha")] {
                assert_eq!(origin(&build(repository, reference), own, &siblings), Origin::Own, "{reference:?}");
                assert_eq!(origin(&build(None, reference), own, &siblings), Origin::Own, "{reference:?}");
            }
            for reference in ["x", "v1", "refs/tags/main", &"a".repeat(40)] {
                assert!(
                    matches!(origin(&build(repository, Some(reference)), own, &siblings), Origin::Other(_)),
                    "{reference}"
                );
            }
            assert!(matches!(
                origin(&build(Some("https://git.example/x"), Some("main")), own, &siblings),
                Origin::Other(_)
            ));
        }
    }

    #[test]
    fn a_build_id_changes_with_each_input_and_with_nothing_else() {
        let tree = |digit: &str| TreeId::new(digit.repeat(40)).expect("a tree");
        let builder = Builder {
            image: "registry.example/builder:24@sha256:aa".to_owned(),
            run_image: "registry.example/run@sha256:bb".to_owned(),
            buildpacks: BTreeMap::from([
                ("python".to_owned(), "bp/python@sha256:cc".to_owned()),
                ("node".to_owned(), "bp/node@sha256:dd".to_owned()),
            ]),
            target: "linux/amd64".to_owned(),
        };
        let base = Build {
            packages: vec!["b".to_owned(), "a".to_owned()],
            buildpacks: vec!["node".to_owned(), "python".to_owned()],
            ..Build::default()
        };
        let id = |tree: TreeId, build: &Build, builder: &Builder| {
            BuildInputs::new(tree, build, builder).expect("inputs").id()
        };
        let first = id(tree("1"), &base, &builder);

        let same = [
            id(
                tree("1"),
                &Build { packages: vec!["a".to_owned(), "b".to_owned(), "a".to_owned()], ..base.clone() },
                &builder,
            ),
            id(
                tree("1"),
                &Build {
                    repository: Some("https://x.example/y".to_owned()),
                    reference: Some("v1".to_owned()),
                    ..base.clone()
                },
                &builder,
            ),
            id(tree("1"), &base, &Builder { run_image: "other@sha256:ee".to_owned(), ..builder.clone() }),
            id(tree("1"), &base, &Builder { image: "mirror.example/builder@sha256:aa".to_owned(), ..builder.clone() }),
        ];
        assert!(same.iter().all(|other| *other == first));

        let other = [
            id(tree("2"), &base, &builder),
            id(tree("1"), &Build { packages: vec!["a".to_owned()], ..base.clone() }, &builder),
            id(
                tree("1"),
                &Build { buildpacks: vec!["python".to_owned(), "node".to_owned()], ..base.clone() },
                &builder,
            ),
            id(
                tree("1"),
                &Build { envvars: BTreeMap::from([("A".to_owned(), "b".to_owned())]), ..base.clone() },
                &builder,
            ),
            id(tree("1"), &Build { use_latest_versions: true, ..base.clone() }, &builder),
            id(tree("1"), &Build { nonce: Some(String::new()), ..base.clone() }, &builder),
            id(tree("1"), &Build { nonce: Some("2".to_owned()), ..base.clone() }, &builder),
            id(
                tree("1"),
                &base,
                &Builder { image: "registry.example/builder@sha256:ff".to_owned(), ..builder.clone() },
            ),
            id(tree("1"), &base, &Builder { target: "linux/arm64".to_owned(), ..builder.clone() }),
            first.clone(),
        ];
        assert_eq!(other.iter().collect::<BTreeSet<_>>().len(), other.len());
        assert_eq!(
            BuildInputs::new(tree("1"), &Build { buildpacks: vec!["cobol".to_owned()], ..base }, &builder),
            Err("cobol".to_owned())
        );
    }
}
