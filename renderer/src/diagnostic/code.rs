//! Every code a file can earn, in one table: id, severity, meaning and fix. `docs/toolforge-yaml.md` prints this table
//! and `examples/errors/` holds a case for each row; tests keep all three together.

use super::Severity;

macro_rules! codes {
    ($($name:ident $severity:ident $id:literal $meaning:literal $fix:literal)*) => {
        /// A stable name for one kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// As printed, `unknown-key`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Code::$name => $id,)* }
            }

            /// Error or note.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// What it means, a fragment.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// What to do, a sentence.
            #[must_use]
            pub fn fix(self) -> &'static str {
                match self { $(Code::$name => $fix,)* }
            }
        }
    };
}

codes! {
    NoConfig Error "no-config" "there is no toolforge.yaml, Procfile or service.template" "Run `toolforge init` in the repository and commit the file."
    FileTooLarge Error "file-too-large" "the file is larger than 1 MiB" "Keep data out of the file; put it into the repository or an environment variable."
    NotUtf8 Error "not-utf8" "the file is not UTF-8 text" "Save it as UTF-8 in your editor."
    ControlCharacter Error "control-character" "the file holds a character that YAML forbids" "Delete the character."
    YamlSyntax Error "yaml-syntax" "the file is not YAML" "Correct the line the caret points at."
    YamlTab Error "yaml-tab" "a tab is used where YAML wants spaces" "Indent with spaces."
    YamlAlias Error "yaml-alias" "an unquoted `*`, which YAML takes for an alias" "Write the value in quotes."
    YamlReserved Error "yaml-reserved" "an unquoted value starts with a character YAML reserves, such as `@`" "Write the value in quotes."
    YamlTooDeep Error "yaml-too-deep" "values are nested more than 32 deep" "Flatten the file."
    YamlTooLarge Error "yaml-too-large" "the file holds too many values, or its aliases expand to too many" "Write less, or use fewer aliases."
    YamlTag Error "yaml-tag" "a YAML tag, such as `!!python/object`" "Remove the tag."
    SecondDocument Error "second-document" "a second YAML document after `---`" "Keep one document a file."
    EmptyFile Error "empty-file" "the file holds nothing" "Run `toolforge init`, or write `components:`."
    OtherFormat Error "other-format" "the file is valid, but in the format of another program" "Convert it as the hint says."
    ConfigVersion Error "config-version" "`config_version` is not `v1beta1`" "Write `config_version: v1beta1`."
    DuplicateKey Error "duplicate-key" "one key stands twice in one mapping" "Remove one of the two."
    MissingKey Error "missing-key" "a required key is missing" "Add the key."
    UnknownKey Error "unknown-key" "a key nobody knows" "Correct the spelling, or remove the key."
    WrongLevel Error "wrong-level" "a known key at the wrong place" "Move the key where the hint says."
    WrongType Error "wrong-type" "a value of the wrong shape: text, number, list or mapping" "Write the shape the message names."
    NeedsQuotes Error "needs-quotes" "text that YAML reads as a number, a boolean, a date or nothing" "Write the value in quotes."
    EmptyValue Error "empty-value" "a value is empty" "Write the value, or remove the key."
    UnknownValue Error "unknown-value" "a value outside the list of allowed ones" "Use one of the values the message names."
    OutOfRange Error "out-of-range" "a number outside its range" "Use a number in the range the message names."
    TooLong Error "too-long" "a text is longer than allowed" "Shorten it."
    TooMany Error "too-many" "more entries than allowed" "Remove some, or split the tool in two."
    ObjectsTooLarge Error "objects-too-large" "the tool's objects take more than 2 MiB together" "Put large data into the repository: what stands under `env` is copied into every component."
    BadName Error "bad-name" "a component name that Kubernetes will refuse" "Use lower-case letters, digits and `-`."
    WrongKind Error "wrong-kind" "a key that belongs to another component type" "Change `component_type`, or remove the key."
    BadQuantity Error "bad-quantity" "`cpu` or `memory` is no Kubernetes quantity, or one that cannot be meant" "Write `cpu: 0.5` or `memory: 512Mi`."
    BadCommand Error "bad-command" "a command that cannot be split into words" "Close the quotes."
    BadPath Error "bad-path" "a path of a wrong form" "Write a path as the message says."
    BadSchedule Error "bad-schedule" "`schedule` is no cron line Kubernetes can run" "Write five fields, or a macro such as `@daily`."
    ScheduleNeverRuns Error "schedule-never-runs" "`schedule` names a date that does not exist" "Choose a day the month has."
    PublishConflict Error "publish-conflict" "two components publish one path" "Give each component its own path."
    PublishNeedsPort Error "publish-needs-port" "`publish` without a tcp port" "Add `port:`."
    HealthCheckNeedsPort Error "health-check-needs-port" "`health_check_http` without a tcp port" "Add `port:`, or use `health_check_script`."
    TwoHealthChecks Error "two-health-checks" "both `health_check_http` and `health_check_script`" "Keep one of the two."
    AllowFromNeedsPort Error "allow-from-needs-port" "`allow_from` without a port" "Add `port:`, or remove `allow_from`."
    TwoSources Error "two-sources" "two keys say where the image comes from" "Keep one of them."
    BadRepository Error "bad-repository" "`repository` is no http, https or git URL" "Write a public https URL."
    HostNotAllowed Error "host-not-allowed" "`repository` names a host this platform does not build from" "Move the code to an allowed host, or ask the operators."
    BadHostKey Error "bad-host-key" "a line of `known_hosts` that is no key of a host" "Copy a line that `ssh-keyscan` printed, once its fingerprint was compared."
    BadReference Error "bad-reference" "`ref` is no name git allows" "Write a branch, a tag or a commit."
    BadImage Error "bad-image" "`image` is no image reference" "Write `registry/name:tag` or `registry/name@sha256:...`."
    ImageNotAllowed Error "image-not-allowed" "`image` is in a registry this platform does not run from, or another tool's" "Use an allowed registry, or build from source."
    ReuseFromMissing Error "reuse-from-missing" "`reuse_from` names no component of this file" "Name a component with a build of its own."
    ReuseFromChain Error "reuse-from-chain" "`reuse_from` names a component without a build of its own" "Name the component that is built."
    ReuseFromCycle Error "reuse-from-cycle" "`reuse_from` leads back to itself" "Let one of the components have a build of its own."
    ReuseFromWithheld Error "reuse-from-withheld" "`reuse_from` names a component that has errors" "Correct that component."
    BadEnvName Error "bad-env-name" "an environment variable name programs cannot read" "Use letters, digits and `_`, not starting with a digit."
    ReservedEnvName Error "reserved-env-name" "an environment variable the platform, the cluster or the image sets" "Choose another name."
    BadSecretName Error "bad-secret-name" "a secret whose name is no environment variable" "Write the variable's name, such as `API_KEY`."
    BadCiphertext Error "bad-ciphertext" "a value in toolforge.secrets.yaml that is not encrypted for this platform, tool and key" "Set it again: `toolforge secrets set`."
    BadSigners Error "bad-signers" "a file of `signers/` that holds no usable public keys, or is missing" "Write a line `name@example.org ssh-ed25519 AAAA...`, or an OpenPGP public key in armor."
    NoLicence Error "no-licence" "the repository carries no licence that the Open Source Initiative has approved; where the platform only warns, a note" "Commit a file LICENSE with the text of one of https://opensource.org/licenses."
    BadToolName Error "bad-tool-name" "a tool name that no tool can have" "Use lower-case letters, digits and `-`."
    BadPackage Error "bad-package" "a package name that Debian cannot have" "Write the name as `apt` shows it."
    UnknownBuildpack Error "unknown-buildpack" "a buildpack this platform does not offer" "Use one of the offered buildpacks."
    DumpsUnavailable Error "dumps-unavailable" "`mount: dumps` on a platform without dumps" "Remove `mount`, or ask the operators."
    ProcfileLine Error "procfile-line" "a Procfile line that is not `name: command`" "Write `name: command`."
    WrongFile Error "wrong-file" "`apiVersion` or `kind` is not what this file must have" "Correct the two lines, or move the file."
    NameMismatch Error "name-mismatch" "`metadata.name` differs from the file's name" "Rename one of the two."
    BadDuration Error "bad-duration" "a duration of a wrong form" "Write a number and a unit: `90s`, `5m`, `1h`, `2d`."
    BadAddress Error "bad-address" "`network` or `allowed_hosts` of a platform names a range of addresses, a host or a port that is none" "Write ranges as `10.1.2.0/24`, and ports as `6379` or `53/udp`."
    MoreFindings Error "more-findings" "more findings than are listed" "Correct the listed ones and check again."
    IgnoredKey Note "ignored-key" "a key that is accepted and does nothing here" "Remove the key when convenient."
    EmailsLabel Note "emails-label" "`emails` is kept as a label; this platform sends no mail" "Watch `toolforge status` instead."
    MountAll Note "mount-all" "`mount: all` gives the read-only dumps and nothing else" "Write `mount: dumps`, and keep data in a database."
    ShellInCommand Note "shell-in-command" "the command uses shell syntax, and no shell reads it" "Write `bash -c '...'`."
    NoRoomToSurge Note "no-room-to-surge" "the tool's quota does not hold one more pod, so a rollout cannot start the new one first" "Ask for less cpu or memory, or ask the operators for a higher quota."
    IdleSigners Note "idle-signers" "`commits.signers` where nobody has to sign" "Write `signed: require` beside it, or remove it."
    NoTimeout Note "no-timeout" "a scheduled component without `timeout`: one hanging run blocks all later ones" "Add `timeout:` in seconds."
    ClearTextSecret Note "clear-text-secret" "a value that looks like a credential stands in the file" "Store it as a secret, name it under `secrets:`, and change it: it is in the git history."
    LooseType Note "loose-type" "a value is written loosely, but its meaning is clear" "Write it as the message shows."
}
