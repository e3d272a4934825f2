//! One limiter with its clock, and what it did last.

use std::time::Duration;

use sancho_limiter::{
    Action, Budget, Durations, Event, Holder, Limiter, Moment, PermitId, Read, Record, Source, WriteId,
    WriteOutcome,
};

pub const SECOND: Duration = Duration::from_secs(1);

pub fn holder(name: &str) -> Holder {
    Holder {
        pod_uid: format!("pod-{name}"),
        container: "operator".into(),
        process: name.into(),
    }
}

pub fn free_table(budget: &Budget) -> Record {
    let mut record = Record::new(
        "table".into(),
        budget.clone(),
        Source::Given,
        Durations::default(),
    );
    record.slots.iter_mut().for_each(|row| row.in_doubt = false);
    record
}

/// A limiter with its clock and the last actions.
pub struct Bench {
    pub limiter: Limiter,
    pub now: Moment,
    pub actions: Vec<Action>,
}

impl Bench {
    /// With requests waiting and nothing read yet.
    pub fn new(budget: &Budget) -> Self {
        let limiter = Limiter::new(holder("me"), Durations::default());
        let mut bench = Self {
            limiter,
            now: Moment::from_micros(1_000_000_000),
            actions: Vec::new(),
        };
        bench.step(Event::Configured {
            budget: budget.clone(),
            source: Source::Given,
        });
        bench.step(Event::Demand(100));
        assert!(bench.actions.contains(&Action::Read));
        bench
    }

    /// Holding every slot of a table of its own.
    pub fn holding(budget: &Budget) -> Self {
        let mut bench = Self::new(budget);
        bench.found(&free_table(budget), "1");
        bench.acknowledge("2");
        assert_eq!(bench.limiter.slots_held(bench.now).len() as u32, budget.slots());
        bench
    }

    pub fn step(&mut self, event: Event) {
        self.actions = self.limiter.step(event, self.now);
    }

    pub fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.step(Event::Tick);
    }

    pub fn found(&mut self, record: &Record, version: &str) {
        let record = Box::new(record.clone());
        self.step(Event::Read(Read::Found {
            record,
            version: version.into(),
        }));
    }

    /// Answers a read with what the limiter knows already.
    pub fn found_unchanged(&mut self) {
        let record = self.limiter.record().unwrap().clone();
        self.found(&record, "same");
    }

    pub fn written(&self) -> (WriteId, Record, Option<String>) {
        let write = self.actions.iter().find_map(|action| match action {
            Action::Write { id, record, version } => Some((*id, (**record).clone(), version.clone())),
            _ => None,
        });
        write.unwrap_or_else(|| panic!("no write among {:?}", self.actions))
    }

    pub fn outcome(&mut self, id: WriteId, outcome: WriteOutcome) {
        self.step(Event::Written { id, outcome });
    }

    pub fn acknowledge(&mut self, version: &str) {
        let (id, _, _) = self.written();
        self.outcome(
            id,
            WriteOutcome::Acknowledged {
                version: version.into(),
            },
        );
    }

    pub fn permits(&self) -> Vec<PermitId> {
        let permits = self.actions.iter().filter_map(|action| match action {
            Action::Permit { id, .. } => Some(*id),
            _ => None,
        });
        permits.collect()
    }
}
