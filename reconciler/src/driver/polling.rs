//! Asks git: the config repository, and host by host each distinct repository once a cycle. Hosts go round on their own:
//! while one has not answered, the others are asked again. Who is asked while nobody knows him yet does not wait for the
//! next cycle.

use super::book::{NewPage, News};
use super::reader::Due;
use super::{Driver, Wakes, is_fixed, lock, platform, send};
use crate::source::{Poller, Wanted};
use futures::StreamExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Who is being asked now.
#[derive(Default)]
struct Cycles {
    under_way: JoinSet<Who>,
    busy: BTreeSet<Who>,
    /// Those that have to be asked again, because they changed meanwhile.
    again: BTreeSet<Who>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Config,
    /// Nobody in git: what the platform has for itself on the cluster.
    Own,
    /// All repositories of one host; local ones have the host with the empty name.
    Host(String),
}

impl Who {
    fn local() -> Self {
        Self::Host(String::new())
    }
}

impl Driver {
    /// Polls until it is dropped.
    pub(super) async fn poll_forever(self: Arc<Self>, wakes: Wakes) {
        let mut cycles = Cycles::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + self.limits.interval.unwrap_or_else(|| self.book.poll_interval());
                    self.look_at_the_rest(&wakes);
                    self.ask(Who::Config, Vec::new(), &mut cycles, &wakes);
                    self.ask_hosts(self.book.wanted(), &mut cycles, &wakes);
                }
                () = self.folder_changed.notified() => self.ask_local(&mut cycles, &wakes),
                () = self.own_changed.notified() => self.ask_or_again(Who::Own, Vec::new(), &mut cycles, &wakes),
                Some(ended) = cycles.under_way.join_next() => {
                    // Which it was is not known where it panicked: all may be asked again.
                    let who = ended.inspect_err(|_| cycles.busy.clear()).ok();
                    let again = who.filter(|who| cycles.busy.remove(who) && cycles.again.remove(who));
                    match again {
                        Some(Who::Own) => self.ask(Who::Own, Vec::new(), &mut cycles, &wakes),
                        Some(_) => self.ask_local(&mut cycles, &wakes),
                        None => {}
                    }
                    self.ask_hosts(self.book.unasked(), &mut cycles, &wakes);
                }
            }
        }
    }

    /// What nobody else will tell: Tools without a file, images that were missing, and repositories of others that tools
    /// build from.
    fn look_at_the_rest(&self, wakes: &Wakes) {
        let unknown = self.world.tools().into_iter().filter(|tool| !self.book.knows(tool));
        for tool in unknown {
            send(wakes, tool, false);
        }
        self.images.look_again();
        for tool in self.book.building_elsewhere() {
            self.read_soon(Due { tool, anew: false });
        }
        self.metrics.git(self.git.counts());
    }

    fn ask_hosts(self: &Arc<Self>, wanted: Vec<Wanted>, cycles: &mut Cycles, wakes: &Wakes) {
        let mut hosts: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
        for one in wanted {
            hosts.entry(one.repository.host().to_owned()).or_default().push(one);
        }
        for (host, wanted) in hosts {
            self.ask(Who::Host(host), wanted, cycles, wakes);
        }
    }

    /// A folder has changed, and says nothing else.
    fn ask_local(self: &Arc<Self>, cycles: &mut Cycles, wakes: &Wakes) {
        let wanted = self.book.wanted().into_iter().filter(|one| one.repository.local_path().is_some()).collect();
        for (who, wanted) in [(Who::Config, Vec::new()), (Who::local(), wanted)] {
            self.ask_or_again(who, wanted, cycles, wakes);
        }
    }

    /// Begins a cycle, or has another one begin when the one under way is over.
    fn ask_or_again(self: &Arc<Self>, who: Who, wanted: Vec<Wanted>, cycles: &mut Cycles, wakes: &Wakes) {
        if cycles.busy.contains(&who) {
            cycles.again.insert(who);
        } else {
            self.ask(who, wanted, cycles, wakes);
        }
    }

    /// Begins a cycle, unless the last one is not over yet.
    fn ask(self: &Arc<Self>, who: Who, wanted: Vec<Wanted>, cycles: &mut Cycles, wakes: &Wakes) {
        if !cycles.busy.insert(who.clone()) {
            return;
        }
        let (driver, wakes) = (self.clone(), wakes.clone());
        cycles.under_way.spawn(async move {
            match &who {
                Who::Config => {
                    driver.look_for_keys(&wakes).await;
                    driver.ask_config(&wakes).await;
                }
                Who::Own => driver.look_after_its_own().await,
                Who::Host(_) => driver.ask_host(&wanted, &wakes).await,
            }
            who
        });
    }

    /// Only where a value was met that no key opens, or where there is none.
    async fn look_for_keys(&self, wakes: &Wakes) {
        if self.vault.renew(&self.cluster.client, &self.book.platform()).await {
            for tool in self.book.names() {
                send(wakes, tool, false);
            }
        }
    }

    async fn ask_host(&self, wanted: &[Wanted], wakes: &Wakes) {
        let by_key: BTreeMap<_, _> = wanted.iter().map(|one| (one.repository.key(), one)).collect();
        let mut rows = std::pin::pin!(Poller::new(self.git.clone()).poll(wanted));
        while let Some((key, answer)) = rows.next().await {
            let Some(wanted) = by_key.get(&key) else { continue };
            let News { moved, told } = self.book.enter(wanted, answer);
            for tool in moved {
                self.read_soon(Due { tool, anew: true });
            }
            for tool in told {
                send(wakes, tool, true);
            }
        }
    }

    async fn ask_config(self: &Arc<Self>, wakes: &Wakes) {
        match self.book.poll_config(&self.git).await {
            Ok(Some(news)) => self.turn_the_page(news, wakes),
            Ok(None) => {}
            // What was last known keeps being served.
            Err(error) => tracing::warn!(%error, "the config repository could not be read"),
        }
        lock(&self.publishing).polled();
        self.publish_platform().await;
    }

    fn turn_the_page(self: &Arc<Self>, NewPage { platform_before, new_rules, tools }: NewPage, wakes: &Wakes) {
        let platform = self.book.platform();
        if is_fixed(&platform_before) != is_fixed(&platform) {
            tracing::info!("the platform is another one now: everything begins anew");
            self.restart.cancel();
            return;
        }
        if platform_before != platform || new_rules {
            lock(&self.publishing).anew();
        }
        self.watch_folders();
        self.images.ask_anew();
        for tool in tools {
            if self.book.knows(&tool) {
                self.read_soon(Due { tool, anew: true });
            } else {
                send(wakes, tool, true);
            }
        }
    }

    /// Takes back what somebody changed, a moment later: our own writes are told too, and who changes it each time is not
    /// to keep us busy.
    async fn look_after_its_own(&self) {
        tokio::time::sleep(self.limits.patience).await;
        lock(&self.publishing).anew();
        self.publish_platform().await;
        // What could not be watched, for want of a definition, may be there again.
        self.world.look_again();
    }

    /// Writes the platform's own objects where they differ, if it is time for that.
    async fn publish_platform(&self) {
        if self.restart.is_cancelled() || !lock(&self.publishing).begins() {
            return;
        }
        let (client, platform) = (&self.cluster.client, self.book.platform());
        let admission = self.book.admission();
        let settings = platform::publish(client, &platform, &admission).await;
        let rules = platform::publish_rules(client, &platform, &admission).await;
        let Err(error) = settings.and(rules) else { return lock(&self.publishing).succeeded() };
        lock(&self.publishing).failed();
        tracing::warn!(error = format!("{error:#}"), "the platform's own objects were not written");
    }
}
