//! `diff` of commits that somebody has to have signed.

use crate::harness::{BOT, Home, PLATFORM, TOOL};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use std::fs;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// Signs the newest commit of the tool, as `git commit --amend -S` does.
fn sign(home: &Home, key: &PrivateKey) {
    let object = format!("{}\n", home.git("bot", &["cat-file", "commit", "main"]));
    let signature = key.sign("git", HashAlg::Sha512, object.as_bytes()).expect("a signature");
    let armor = signature.to_pem(LineEnding::LF).expect("armor");
    let header = format!("\ngpgsig {}\n\n", armor.trim_end().replace('\n', "\n "));
    fs::write(home.path("bot/.git/signed"), object.replacen("\n\n", &header, 1)).expect("written");
    let id = home.git("bot", &["hash-object", "-t", "commit", "-w", ".git/signed"]);
    home.git("bot", &["update-ref", "refs/heads/main", &id]);
}

#[test]
fn a_diff_names_the_key_that_was_missing_and_shows_what_a_signed_commit_would_change() {
    let (ada, eve) = (key(1), key(2));
    let platform = PLATFORM.replace("d.example}", "d.example, commits: {signed: require, signers: operators}}");
    let signers = format!("ada@example.org {}\n", ada.public_key().to_openssh().expect("a key"));
    let home = Home::new(&[
        ("config/platform.yaml", platform.as_str()),
        ("config/signers/operators", signers.as_str()),
        ("config/tools/bot.yaml", TOOL),
        ("bot/toolforge.yaml", BOT),
    ]);
    let diff = |more: &[&str]| home.run(".", "sandbox", &[&["diff", "bot", "--branch", "main"], more].concat());
    let deployment = "deployment/tool-bot/bot";
    let commit = || home.git("bot", &["rev-parse", "--short=7", "main"]);
    let unsigned = diff(&[]);
    let held = format!("unsigned {}: it has no signature; ", commit());
    assert!(unsigned.out.contains(&held) && unsigned.out.contains("signers/operators"), "{unsigned:#?}");
    assert!(!unsigned.out.contains(deployment), "{unsigned:#?}");

    sign(&home, &eve);
    let strangers = diff(&[]);
    let fingerprint = eve.fingerprint(HashAlg::Sha256).to_string();
    let held = strangers.out.lines().find(|line| line.contains(&format!("unsigned {}: ", commit())));
    assert!(held.is_some_and(|line| line.contains(&fingerprint)), "{strangers:#?}");
    assert!(!strangers.out.contains(deployment), "{strangers:#?}");
    let told = diff(&["--json"]).json();
    let held = told["held"].as_array().expect("a list").iter().find(|held| held["why"].get("unsigned").is_some());
    assert!(held.is_some_and(|held| held["why"]["unsigned"]["key"] == fingerprint), "{told:#}");

    home.git("bot", &["commit", "-q", "--amend", "-m", "x"]);
    sign(&home, &ada);
    let signed = diff(&[]);
    assert!(signed.out.contains(deployment) && !signed.out.contains("unsigned"), "{signed:#?}");
}
