//! Which buildpacks take part: all are asked, and what they provide and require is matched.

use super::plan::{Candidate, PlanFile, resolve};
use super::process::Phase;
use super::trouble::{BuildError, at};
use super::{Builder, Detected, Folders, LAYERS, Member, PACKS, PLANS, PLATFORM, Request, env};
use crate::file;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::fs;
use std::time::Duration;

/// Asked at once.
const AT_ONCE: usize = 4;
/// Exit status of a buildpack that has nothing to do with it.
const NOT_ME: i32 = 100;

/// What one buildpack said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Whether it takes part.
    pub verdict: Verdict,
    /// Its own words, or why it takes no part although it said yes.
    pub reason: String,
}

/// Whether a buildpack takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It does.
    Used,
    /// It says that it is not needed.
    NotNeeded,
    /// It said yes, and what it provides or requires fits nothing else.
    Unmatched,
}

impl Tried {
    /// Whether it takes part.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.verdict == Verdict::Used
    }
}

/// An answer of `bin/detect`.
struct Answer {
    member: Member,
    /// None where it says that it is not needed.
    offers: Option<PlanFile>,
    reason: String,
}

impl Builder {
    pub(super) async fn ask_all(&self, request: &Request, folders: &Folders) -> Result<Detected, BuildError> {
        let asked = self.packs.chosen(&request.buildpacks)?;
        // Collected: a closure over borrowed values, kept across an await, makes the future unfit for `spawn`.
        let questions: Vec<_> = asked.into_iter().map(|member| self.ask(request, folders, member)).collect();
        let answers: Vec<Answer> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        // One that was named, and says no, makes the rest useless.
        let refused = answers.iter().any(|answer| answer.offers.is_none() && !answer.member.optional);
        Ok(settled(&answers, refused))
    }

    async fn ask(&self, request: &Request, folders: &Folders, member: Member) -> Result<Answer, BuildError> {
        let pack = &member.pack;
        let plan = folders.scratch.join("plans").join(pack.folder());
        fs::write(&plan, "").map_err(at(&plan))?;
        crate::cell::give(&plan)?;
        let mut cell = self.cell(request, folders, pack, false);
        // Each has a home of its own, for several are asked at once.
        cell = cell.at(&folders.scratch.join("cells").join(pack.folder()));
        for (name, value) in env::Environment::system().variables().chain(env::text(&request.settings)) {
            cell = cell.with_env(name, value);
        }
        let seen = |path: String| cell.seen(&self.door, &path);
        let (program, platform) = (seen(format!("{PACKS}/{}/bin/detect", pack.name())), seen(PLATFORM.to_owned()));
        let (plan_file, layers) = (seen(format!("{PLANS}/{}", pack.folder())), seen(LAYERS.to_owned()));
        let cell = cell.clone().with_env("CNB_BUILD_PLAN_PATH", &plan_file);
        let limit = Duration::from_secs(request.detect_secs);
        let phase = Phase { pack, name: "detect", limit, log: None };
        let said = phase.run(&self.door, &cell, [&program, &platform, &plan_file, &layers]).await?;
        // What it says begins with its name, which whoever reads it knows.
        let reason = said.last.split_once("] ").map_or(said.last.as_str(), |(_, reason)| reason).to_owned();
        let offers = match said.code {
            0 => {
                let left = |error: std::io::Error| BuildError::BadResult {
                    pack: pack.id.clone(),
                    what: "a build plan".to_owned(),
                    why: error.to_string(),
                };
                Some(file::toml(&plan).map_err(left)?.unwrap_or_default())
            }
            NOT_ME => None,
            code => return Err(BuildError::DetectFailed { pack: pack.id.clone(), code, said: said.last }),
        };
        Ok(Answer { offers, reason, member })
    }
}

fn settled(answers: &[Answer], refused: bool) -> Detected {
    let yes: Vec<(usize, Candidate)> = answers
        .iter()
        .enumerate()
        .filter_map(|(at, answer)| {
            let offers = answer.offers.clone()?;
            Some((at, Candidate { optional: answer.member.optional, offers }))
        })
        .collect();
    let candidates: Vec<_> = yes.iter().map(|(_, candidate)| candidate.clone()).collect();
    let (mut group, plan, dropped) = resolve(&candidates);
    if refused {
        group.clear();
    }
    let place = |at: usize| yes.iter().position(|(one, _)| *one == at);
    let tried = answers.iter().enumerate().map(|(at, answer)| {
        let (verdict, reason) = match place(at) {
            None => (Verdict::NotNeeded, answer.reason.clone()),
            Some(place) if group.contains(&place) => (Verdict::Used, answer.reason.clone()),
            Some(place) => {
                let why = dropped.get(&place).map_or("another one that is named takes no part", String::as_str);
                (Verdict::Unmatched, format!("{}, but {why}", answer.reason))
            }
        };
        Tried { id: answer.member.pack.id.clone(), version: answer.member.pack.version.clone(), verdict, reason }
    });
    let tried = tried.collect();
    let group = group.iter().map(|place| answers[yes[*place].0].member.pack.clone()).collect();
    Detected { tried, group, plan }
}
