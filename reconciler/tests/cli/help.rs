//! The help is a promise, and read in review: `tests/cli/reviewed/` holds it as it is printed. `UPDATE_GOLDEN=1` rewrites it.

use crate::harness::{folder, toolforge};
use std::fs;
use std::path::Path;

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let ran = toolforge(Path::new("."), &["--help"]);
    let listed = ran.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn the_help_is_as_reviewed() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/reviewed");
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    let mut expected = vec!["toolforge.txt".to_owned()];
    compare(&goldens.join("toolforge.txt"), &["--help"]);
    for command in &commands {
        compare(&goldens.join(format!("{command}.txt")), &[command, "--help"]);
        expected.push(format!("{command}.txt"));
    }
    let there = fs::read_dir(&goldens).expect("the goldens").map(|entry| entry.expect("an entry").file_name());
    for file in there {
        assert!(expected.iter().any(|name| file == **name), "{} belongs to no command", file.display());
    }
}

fn compare(golden: &Path, arguments: &[&str]) {
    let ran = toolforge(Path::new("."), arguments);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:#?}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &ran.out).expect("the golden is written");
    }
    let reviewed = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(ran.out, reviewed, "{}: run with UPDATE_GOLDEN=1 and look at the difference", golden.display());
}

#[test]
fn every_command_teaches_by_examples() {
    for command in commands() {
        let help = toolforge(Path::new("."), &[&command, "--help"]).out;
        assert!(help.contains(&format!("toolforge {command}")), "{command}:\n{help}");
        assert!(help.contains("Examples:"), "{command} has no examples");
    }
}

#[test]
fn wrong_use_ends_with_2_and_says_what_would_be_right() {
    let folder = folder(&[]);
    let cases: [(&[&str], &str); 6] = [
        (&[], "Usage: toolforge"),
        (&["chek"], "'check'"),
        (&["check", "--colour", "always"], "--color"),
        (&["check", "--tool", "Not A Name"], "lower-case letters"),
        (&["render", "a", "b"], "unexpected argument"),
        (&["completions", "tcsh"], "possible values"),
    ];
    for (arguments, says) in cases {
        let ran = toolforge(folder.path(), arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains(says), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = toolforge(Path::new("."), &["--version"]);
    assert_eq!((ran.exit, ran.out), (0, format!("toolforge {}\n", env!("CARGO_PKG_VERSION"))));
}
