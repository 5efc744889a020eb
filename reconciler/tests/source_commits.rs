//! What is known of a commit besides its files: who made it, and what its signature is worth.

mod git_host;

use git_host::{Host, Repository, reader};
use reconciler::source::signature::verify;
use reconciler::source::{RepositoryUrl, config_repo, licence};
use renderer::licence::{Licence, Licences, Says};
use renderer::revision::{Facts, Signature, SigningKey};
use renderer::signers::{Signers, wanted};
use renderer::{CommitId, Tool, ToolName};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A commit of the tree of HEAD with these bytes in place of its header's lines and message.
fn commit_of(repository: &Repository, lines: &[&[u8]]) -> CommitId {
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    let mut bytes = format!("tree {tree}\n").into_bytes();
    bytes.extend(lines.concat());
    written(repository, &bytes)
}

async fn facts_of(repository: &Repository, commit: &CommitId, cache: &Path) -> Facts {
    let name = ToolName::new("wordcount").expect("a name");
    let tool = Tool::of(name, repository.path.display().to_string());
    let reader = reader(cache, &[]);
    let revision = reader.revision(&tool, commit).await.expect("a revision");
    let alone = reader.facts(&RepositoryUrl::local(&repository.path), commit).await.expect("facts");
    assert_eq!(revision.facts, alone);
    alone
}

const COMMITTER: &[u8] = b"committer C <c@example.org> 1700000000 +0000\n\nmessage\n";

#[tokio::test]
async fn the_author_is_read_whatever_stands_there_and_never_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    let long = format!("author {} <a@example.org> 1700000000 +0000\n", "\u{1b}]0;x\u{7}".repeat(90_000));
    for (line, author) in [
        ("author Ada Lovelace <ada@example.org> 1700000000 +0000\n", Some("Ada Lovelace")),
        ("author \u{1b}[31mAda <ada@example.org> 1700000000 +0000\n", Some("\\u{1b}[31mAda")),
        ("author  <ada@example.org> 1700000000 +0000\n", None),
        (&long, Some("\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}\\u{1b}]0;x\\u{7}...")),
    ] {
        let commit = commit_of(&repository, &[line.as_bytes(), COMMITTER]);
        let facts = facts_of(&repository, &commit, folder.path()).await;
        assert_eq!(facts.author.as_deref(), author, "{}", &line[..40]);
    }
}

/// A line of a commit's header for the signature that `sign` makes of the rest, and the commit's id.
fn signed(repository: &Repository, sign: impl FnOnce(&[u8]) -> String) -> (CommitId, Vec<u8>) {
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    let head = format!(
        "tree {tree}\nauthor A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n"
    );
    let payload = format!("{head}\na commit\n");
    let armor = sign(payload.as_bytes());
    let object = format!("{head}gpgsig {}\n\na commit\n", armor.trim_end().replace('\n', "\n "));
    (written(repository, object.as_bytes()), object.into_bytes())
}

fn written(repository: &Repository, object: &[u8]) -> CommitId {
    std::fs::write(repository.path.join("commit-object"), object).expect("written");
    let id = repository.git(&["hash-object", "-t", "commit", "-w", "--literally", "commit-object"]);
    CommitId::new(id).expect("a commit")
}

fn ssh_key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn ssh_armor(key: &PrivateKey, namespace: &str, payload: &[u8]) -> String {
    let signature = key.sign(namespace, HashAlg::Sha512, payload).expect("a signature");
    signature.to_pem(LineEnding::LF).expect("armor")
}

fn openpgp(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openpgp");
    std::fs::read(folder.join(name)).expect("a fixture")
}

fn signers(files: &[(&str, &str)]) -> Signers {
    Signers(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

/// What the signature of this commit is worth where these sign.
async fn worth(repository: &Repository, commit: &CommitId, signers: &Signers) -> Signature {
    let facts = facts_of(repository, commit, &repository.path.join("cache")).await;
    match facts.signature {
        Signature::Unverified(signed) => verify(&signed, signers),
        other => other,
    }
}

fn why(signature: &Signature) -> &str {
    match signature {
        Signature::Worthless { why, .. } => why,
        other => unreachable!("it is worth something: {other:?}"),
    }
}

#[tokio::test]
async fn an_ssh_signature_is_good_for_its_own_commit_and_purpose_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    let plain = repository.commit(&[("toolforge.yaml", "one")]);
    let none = Signers::default();
    let plain = CommitId::new(plain).expect("a commit");
    assert_eq!(worth(&repository, &plain, &none).await, Signature::Absent);

    let key = ssh_key(1);
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let (good, bytes) = signed(&repository, |payload| ssh_armor(&key, "git", payload));
    let by_it = Signature::Good(SigningKey::Ssh { fingerprint, algorithm: "ssh-ed25519".to_owned() });
    assert_eq!(worth(&repository, &good, &none).await, by_it);

    let text = String::from_utf8(bytes).expect("text");
    let tampered = written(&repository, text.replace("a commit\n", "a comma\n").as_bytes());
    assert!(why(&worth(&repository, &tampered, &none).await).contains("not of this commit"));
    let other_tree = repository.commit(&[("toolforge.yaml", "two")]);
    let tree = repository.git(&["rev-parse", &format!("{other_tree}^{{tree}}")]);
    let moved = written(&repository, format!("tree {tree}{}", &text[45..]).as_bytes());
    assert!(why(&worth(&repository, &moved, &none).await).contains("not of this commit"), "transplanted");
    let (mail, _) = signed(&repository, |payload| ssh_armor(&key, "email", payload));
    assert!(why(&worth(&repository, &mail, &none).await).contains("another purpose"));
    let twice = text.replacen("gpgsig ", "gpgsig x\ngpgsig ", 1);
    let twice = written(&repository, twice.as_bytes());
    assert!(!why(&worth(&repository, &twice, &none).await).is_empty(), "the first of two counts, and is none");
    let large = format!("-----BEGIN SSH SIGNATURE-----\n{}", "A".repeat(100_000));
    let (large, _) = signed(&repository, |_| large);
    assert!(why(&worth(&repository, &large, &none).await).contains("larger than 16384 bytes"));
    for (armor, word) in [
        ("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", "cannot be read"),
        ("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----", "cannot be read"),
        ("-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----", "X.509"),
        ("yes, really", "of no kind"),
    ] {
        let (odd, _) = signed(&repository, |_| armor.to_owned());
        let found = worth(&repository, &odd, &none).await;
        assert!(why(&found).contains(word), "{armor}: {found:?}");
    }
}

#[tokio::test]
async fn what_git_signs_with_ssh_keygen_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    let key = ssh_key(2);
    let path = folder.path().join("key");
    std::fs::write(&path, key.to_openssh(LineEnding::LF).expect("a key").as_bytes()).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a private file");
    std::fs::write(path.with_extension("pub"), key.public_key().to_openssh().expect("a key")).expect("written");
    repository.write("toolforge.yaml", b"one");
    repository.git(&["add", "-A"]);
    repository.git(&["config", "gpg.format", "ssh"]);
    repository.git(&["config", "user.signingkey", &path.display().to_string()]);
    repository.git(&["commit", "-q", "-S", "-m", "signed"]);
    let commit = CommitId::new(repository.git(&["rev-parse", "HEAD"])).expect("a commit");
    let found = worth(&repository, &commit, &Signers::default()).await;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    assert_eq!(found, Signature::Good(SigningKey::Ssh { fingerprint, algorithm: "ssh-ed25519".to_owned() }));
}

/// The commits are GnuPG's, of the tree that holds `toolforge.yaml` with the text `one`: `openpgp/make.sh`.
#[tokio::test]
async fn an_openpgp_signature_is_good_by_a_key_that_is_known_whole_and_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = Repository::new(folder.path(), "tool");
    repository.commit(&[("toolforge.yaml", "one")]);
    let commit = |name: &str| written(&repository, &openpgp(name));
    let key = |name: &str| String::from_utf8(openpgp(name)).expect("text");
    let all = signers(&[("ada", &key("ada.asc")), ("others", &format!("{}{}", key("bob.asc"), key("eve.asc")))]);

    for name in ["ada.commit", "ada-subkey.commit"] {
        let Signature::Good(SigningKey::OpenPgp { fingerprint, valid_before, signers }) =
            worth(&repository, &commit(name), &all).await
        else {
            unreachable!("{name} is good");
        };
        assert_eq!((fingerprint.len(), valid_before, signers), (40, None, all.digest()), "{name}");
    }
    let bob = worth(&repository, &commit("bob.commit"), &all).await;
    let Signature::Good(SigningKey::OpenPgp { valid_before: Some(end), .. }) = bob else { unreachable!("{bob:?}") };
    // 2026-06-01T12:00:00Z.
    assert_eq!(end, 1_780_315_200);

    let nobody = worth(&repository, &commit("ada.commit"), &signers(&[("bob", &key("bob.asc"))])).await;
    assert!(matches!(nobody, Signature::UnknownKey { key } if key.len() == 40));
    for (name, files, word) in [
        ("bob-sha1.commit", key("bob.asc"), "SHA-1"),
        ("bob.commit", key("bob-revoked.asc"), "revoked"),
        ("ada-subkey.commit", key("ada-subkey-revoked.asc"), "revoked"),
        ("eve.commit", key("eve.asc"), "proves nothing any more"),
        ("fay.commit", key("fay.asc"), "proves nothing any more"),
    ] {
        let found = worth(&repository, &commit(name), &signers(&[("all", &files)])).await;
        assert!(why(&found).contains(word), "{name}: {found:?}");
    }
    let still = worth(&repository, &commit("ada.commit"), &signers(&[("ada", &key("ada-subkey-revoked.asc"))])).await;
    assert!(matches!(still, Signature::Good(_)), "the owner's own key is none of the subkey's: {still:?}");

    let text = String::from_utf8(openpgp("ada.commit")).expect("text");
    let tampered = written(&repository, text.replace("a commit\n", "a comma\n").as_bytes());
    assert!(why(&worth(&repository, &tampered, &all).await).contains("not of this commit"));
}

/// A config repository whose platform and tool name these files of signers.
fn config_repository(folder: &Path) -> Repository {
    let repository = Repository::new(folder, "config");
    let frame = |kind: &str, name: &str, spec: &str| {
        format!("apiVersion: toolforge.org/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}")
    };
    let settings = "  domain: tools.example\n  commits:\n    signed: require\n    signers: [operators, operatrs]\n";
    repository.write("platform.yaml", frame("Platform", "tools", settings).as_bytes());
    let spec = "  repository: https://git.example/x\n  commits: {signed: require, signers: [ada.asc]}\n";
    repository.write("tools/wordcount.yaml", frame("Tool", "wordcount", spec).as_bytes());
    let line = format!("ada@example.org {}\n", ssh_key(1).public_key().to_openssh().expect("a key"));
    repository.write("signers/operators", line.as_bytes());
    repository.write("signers/ada.asc", &openpgp("ada.asc"));
    repository.write(
        "signers/broken.asc",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
    );
    repository.write("signers/private", b"-----BEGIN OPENSSH PRIVATE KEY-----\n");
    repository
}

#[tokio::test]
async fn signers_are_read_with_the_config_repository_and_what_is_wrong_there_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = config_repository(folder.path());
    repository.commit_all();
    let url = RepositoryUrl::local(&repository.path);
    let committed = config_repo::load(&reader(folder.path(), &[]), &url, "HEAD").await.expect("a config repository");
    let found = config_repo::read_folder(&repository.path).expect("a folder");
    assert_eq!((committed.platforms.len(), &committed.platforms), (1, &found.platforms));
    let folder = &found.platforms[0];
    let platform = folder.platform.as_ref().expect("a platform");
    let signers = platform.commits.signers.ssh();
    assert_eq!(signers.iter().map(|s| s.principals.as_str()).collect::<Vec<_>>(), ["ada@example.org"]);
    assert_eq!(wanted(platform, &folder.tools[0]).map(Signers::named).as_deref(), Some("signers/ada.asc"));
    assert_eq!(folder.tools[0].commits.signers.openpgp().count(), 1);
    let told: Vec<_> = folder
        .report
        .errors()
        .map(|e| format!("{}:{} {}", e.file, e.place.map_or(0, |place| place.line), e.message))
        .collect();
    let expected = [
        "platform.yaml:8 there is no file `signers/operatrs`",
        "signers/broken.asc:0 an OpenPGP key cannot be read",
        "signers/private:1 this is a private key",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(expected.iter().all(|one| told.iter().any(|found| found.starts_with(one))), "{told:?}");
    assert!(folder.report.errors().all(|error| error.hint.is_some()));
}

#[tokio::test]
async fn signers_that_nobody_has_to_sign_by_are_told_where_they_are_named() {
    let repository = |settings: &str, of_tool: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = config_repository(folder.path());
        for signers in ["broken.asc", "private"] {
            std::fs::remove_file(repository.path.join("signers").join(signers)).expect("gone");
        }
        for (file, wanted) in [("platform.yaml", settings), ("tools/wordcount.yaml", of_tool)] {
            let path = repository.path.join(file);
            let text = std::fs::read_to_string(&path).expect("a file").replace("signed: require", "signed: X");
            let text = text.replace("[operators, operatrs]", "operators").replace("signed: X, ", wanted);
            std::fs::write(path, text.replace("signed: X", wanted)).expect("written");
        }
        let found = config_repo::read_folder(&repository.path).expect("a folder");
        let told = found.platforms[0].report.diagnostics.iter();
        told.map(|told| format!("{}:{} {}", told.file, told.place.map_or(0, |at| at.line), told.code))
            .collect::<Vec<_>>()
    };
    assert_eq!(repository("signed: require", "signed: require, "), [""; 0]);
    assert_eq!(repository("signed: require", ""), [""; 0], "the platform's word holds for the tool's signers");
    assert_eq!(repository("signed: ignore", "signed: require, "), ["platform.yaml:8 idle-signers"]);
    let both = ["platform.yaml:8 idle-signers", "tools/wordcount.yaml:6 idle-signers"];
    assert_eq!(repository("signed: ignore", ""), both);
}

const MIT: &str = "MIT License

Copyright (c) 2026 Ada Lovelace

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";
const APACHE: &str = include_str!("../../LICENSE");

/// Files of a repository, and what is found in them.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// What the files of a repository say of its licence, as `file: what`.
fn said(licences: &Licences) -> Vec<String> {
    let says = |says: &Says| match says {
        Says::Approved(name) => format!("{name}, approved"),
        Says::Other(name) => name.clone(),
        Says::Unknown => "unknown".to_owned(),
        Says::Unreadable(why) => why.clone(),
    };
    licences.0.iter().map(|licence| format!("{}: {}", licence.file, says(&licence.says))).collect()
}

#[tokio::test]
async fn licences_are_found_in_files_and_manifests_of_a_commit_and_of_a_folder_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let host = Host::start(&root).await;
    let reader = reader(&folder.path().join("cache"), &[host.port]);
    let large = "x ".repeat(100_000);
    let cargo = "[package]\nname = \"x\"\nlicense = \"CC-BY-NC-4.0\"\n";
    let project = "[project]\nlicense = \"Apache-2.0 OR LicenseRef-Ours\"\n";
    let cases: [Case<'_>; 7] = [
        (&[("README", MIT)], &[]),
        (&[("LICENSE", APACHE)], &["LICENSE: Apache-2.0, approved"]),
        (&[("COPYING.md", MIT), ("src/LICENSE", APACHE)], &["COPYING.md: MIT, approved"]),
        (
            &[("LICENSE", "Do what I say, and nothing else."), ("package.json", "{\"license\": \"UNLICENSED\"}")],
            &["LICENSE: unknown"],
        ),
        (
            &[("LICENCE", &large), ("package.json", "{\"license\": \"(MIT OR ISC)\"}")],
            &["LICENCE: is larger than 131072 bytes", "package.json: (MIT OR ISC), approved"],
        ),
        (
            &[("LICENSES/MIT.txt", MIT), ("Cargo.toml", cargo)],
            &["Cargo.toml: CC-BY-NC-4.0", "LICENSES/MIT.txt: MIT, approved"],
        ),
        (
            &[("pyproject.toml", project), ("Cargo.toml", "not toml =")],
            &["pyproject.toml: Apache-2.0 OR LicenseRef-Ours, approved"],
        ),
    ];
    for (n, (files, expected)) in cases.iter().enumerate() {
        let repository = Repository::new(&root, &format!("tool{n}"));
        let commit = CommitId::new(repository.commit(files)).expect("a commit");
        let url = host.url(&format!("tool{n}/.git"));
        // The files that describe the tool were fetched before; those of the licence were left out then.
        reader.snapshot(&url, &commit, "").await.expect("a snapshot");
        let fetched = reader.licences(&url, &commit).await.expect("licences");
        assert_eq!(said(&fetched), *expected);
        assert_eq!(said(&licence::of_folder(&repository.path)), *expected, "the same of the folder");
    }
    let linked = Repository::new(&root, "linked");
    std::os::unix::fs::symlink("/etc/passwd", linked.path.join("LICENSE")).expect("a link");
    let commit = CommitId::new(linked.commit_all()).expect("a commit");
    let found = reader.licences(&host.url("linked/.git"), &commit).await.expect("licences");
    assert_eq!(said(&found), ["LICENSE: is no file"]);
    assert!(matches!(&licence::of_folder(&linked.path).0[..], [Licence { says: Says::Unreadable(_), .. }]));
}
