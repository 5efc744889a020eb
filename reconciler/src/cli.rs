//! What can be asked for, and who answers. Each command is a module with its arguments and one `run`; nothing here knows
//! how a command does its work, and no command decides about streams, colours or exit codes.

mod apply;
mod audit;
mod build;
mod build_image;
mod buildpack;
mod builds;
mod check;
mod completions;
mod connect;
mod delete;
mod demo;
mod deploy_key;
mod detect;
mod dev;
mod diff;
mod fetch_source;
mod gc;
mod history;
mod image;
mod init;
mod install;
mod local;
mod log;
mod logs;
mod pin;
mod place;
mod plan_file;
mod processes;
mod promote;
mod rebase;
mod render;
mod run;
mod schema;
mod scratch;
mod secrets;
mod state;
mod status;
mod target;

use crate::ui::{ColourChoice, Exit, Ui, failed};
use anyhow::Context as _;
use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use log::Voice;
use renderer::credentials::without_tokens;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// GitOps for small tools: what `toolforge.yaml` says is what runs
#[derive(Debug, Parser)]
#[command(
    name = "toolforge",
    bin_name = "toolforge",
    version,
    max_term_width = 100,
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = "See it work with `toolforge demo`, begin with `toolforge init`. Each command has examples: `toolforge diff --help`."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// Print JSON on stdout
    #[arg(long, global = true, help_heading = "Every command")]
    json: bool,
    /// Colour the output: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Every command"
    )]
    color: ColourChoice,
    /// Log what happens, on stderr; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Every command")]
    verbose: u8,
    /// How logs look: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        help_heading = "Every command"
    )]
    log_format: LogFormat,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Render(render::Args),
    Diff(diff::Args),
    Apply(apply::Args),
    Run(run::Args),
    Install(install::Args),
    Status(status::Args),
    Logs(logs::Args),
    Builds(builds::Args),
    Build(build::Args),
    History(history::Args),
    Audit(audit::Args),
    Rollback(pin::RollbackArgs),
    Retry(pin::RetryArgs),
    Promote(promote::Args),
    Hold(pin::HoldArgs),
    Release(pin::ReleaseArgs),
    Suspend(pin::SuspendArgs),
    Resume(pin::ResumeArgs),
    Prune(delete::PruneArgs),
    Delete(delete::DeleteArgs),
    Detect(detect::Args),
    Buildpack(buildpack::Args),
    Secrets(secrets::Args),
    DeployKey(deploy_key::Args),
    Image(image::Args),
    Rebase(rebase::Args),
    Gc(gc::Args),
    Dev(dev::Args),
    Demo(demo::Args),
    Schema(schema::Args),
    #[command(hide = true)]
    FetchSource(fetch_source::Args),
    #[command(hide = true)]
    BuildImage(build_image::Args),
    Completions(completions::Args),
}

/// Reads the command line, runs the command and tells how it went.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are success; all else goes to stderr and is wrong use. Where nobody
            // reads either there is nobody to tell. What was refused is repeated there, and may have been a token.
            let told = error.render().to_string();
            let masked = without_tokens(&told);
            if masked == told {
                let _ = error.print();
            } else {
                Ui::new(ColourChoice::Never, false).say(masked.trim_end());
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ui = Ui::new(cli.global.color, cli.global.json);
    let exit = run(cli, &ui).unwrap_or_else(|error| ui.tell(&error));
    exit.into()
}

fn parse() -> Result<Cli, clap::Error> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = Cli::command().styles(styles()).color(help_colour(&arguments));
    Cli::from_arg_matches(&command.try_get_matches_from(&arguments)?)
}

fn run(cli: Cli, ui: &Ui) -> anyhow::Result<Exit> {
    let voice = match cli.command {
        Command::Run(_) => Voice::Loud,
        Command::Demo(_) | Command::Dev(_) => Voice::Quiet,
        _ => Voice::Normal,
    };
    log::start(&cli.global, voice, ui.colours_talk());
    match cli.command {
        Command::Init(args) => init::run(&args, ui),
        Command::Check(args) => check::run(&args, ui),
        Command::Render(args) => render::run(&args, ui),
        Command::Buildpack(args) => buildpack::run(&args, ui),
        Command::Schema(args) => schema::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
        command => {
            reconciler::cluster::install_crypto();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.context("cannot start")?.block_on(interruptible(command, ui))
        }
    }
}

/// Signals that come so close together are one.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Commands that wait for others. Those that hold a lease are told of Ctrl-C and SIGTERM, and come to an end by
/// themselves; all others have nothing to finish.
async fn interruptible(command: Command, ui: &Ui) -> anyhow::Result<Exit> {
    let stop = CancellationToken::new();
    let stays = matches!(command, Command::Run(_) | Command::Apply(_) | Command::Demo(_) | Command::Dev(_));
    let work = asking(command, ui, stop.clone());
    tokio::pin!(work);
    let mut asked = None;
    loop {
        tokio::select! {
            ended = &mut work => return ended,
            () = signalled() => match asked {
                // Whoever runs us may pass on what we were told ourselves, too: that is one wish, not two.
                Some(at) if Instant::elapsed(&at) < ONE_WISH => {}
                None if stays => {
                    asked = Some(Instant::now());
                    stop.cancel();
                    ui.say("stopping; once more to end at once");
                }
                _ => return Err(failed("interrupted").into()),
            },
        }
    }
}

async fn asking(command: Command, ui: &Ui, stop: CancellationToken) -> anyhow::Result<Exit> {
    match command {
        Command::Diff(args) => diff::run(&args, ui).await,
        Command::Demo(args) => demo::run(&args, ui, stop).await,
        Command::Dev(args) => dev::run(&args, ui, stop).await,
        Command::Apply(args) => apply::run(&args, ui, stop).await,
        Command::Run(args) => run::run(&args, ui, stop).await,
        Command::Install(args) => install::run(&args, ui).await,
        Command::Status(args) => status::run(&args, ui).await,
        Command::Logs(args) => logs::run(&args, ui).await,
        Command::Builds(args) => builds::run(&args, ui).await,
        Command::Build(args) => build::run(&args, ui).await,
        Command::History(args) => history::run(&args, ui).await,
        Command::Audit(args) => audit::run(&args, ui).await,
        Command::Rollback(args) => pin::rollback(&args, ui).await,
        Command::Retry(args) => pin::retry(&args, ui).await,
        Command::Promote(args) => promote::run(&args, ui).await,
        Command::Hold(args) => pin::hold(&args, ui).await,
        Command::Release(args) => pin::release(&args, ui).await,
        Command::Suspend(args) => pin::suspend(&args, ui).await,
        Command::Resume(args) => pin::resume(&args, ui).await,
        Command::Prune(args) => delete::prune(&args, ui).await,
        Command::Delete(args) => delete::delete(&args, ui).await,
        Command::Secrets(args) => secrets::run(&args, ui).await,
        Command::DeployKey(args) => deploy_key::run(&args, ui).await,
        Command::Image(args) => image::run(&args, ui).await,
        Command::Rebase(args) => rebase::run(&args, ui).await,
        Command::Gc(args) => gc::run(&args, ui).await,
        Command::FetchSource(args) => fetch_source::run(&args, ui).await,
        Command::BuildImage(args) => build_image::run(&args, ui).await,
        Command::Detect(args) => detect::run(&args, ui).await,
        Command::Init(_)
        | Command::Check(_)
        | Command::Render(_)
        | Command::Buildpack(_)
        | Command::Schema(_)
        | Command::Completions(_) => Ok(Exit::Done),
    }
}

/// Ctrl-C, or SIGTERM.
async fn signalled() {
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        heard = tokio::signal::ctrl_c() => {
            // Nobody can interrupt us then; SIGKILL still works.
            if heard.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// `--color` also holds for help and for usage errors, which are printed before anything is parsed.
fn help_colour(arguments: &[std::ffi::OsString]) -> clap::ColorChoice {
    let texts = || arguments.iter().filter_map(|argument| argument.to_str());
    let after = texts().skip_while(|text| *text != "--color").nth(1);
    match texts().find_map(|text| text.strip_prefix("--color=")).or(after) {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

fn styles() -> Styles {
    let bold = Style::new().bold();
    Styles::styled()
        .header(bold)
        .usage(bold)
        .literal(AnsiColor::Green.on_default())
        .placeholder(AnsiColor::Cyan.on_default())
        .error(AnsiColor::Red.on_default())
        .valid(AnsiColor::Green.on_default())
        .invalid(AnsiColor::Yellow.on_default())
}
