//! Who goes first: classes strictly one after the other, and within a class every tenant in turn.
//!
//! Within a class it is deficit round robin (Shreedhar and Varghese, SIGCOMM 1995), with requests
//! as the measure: a tenant whose jobs are large gets fewer of them per turn.
//!
//! # Guarantees
//! - A job of a more pressing class is served before all others.
//! - Within a class a tenant that has just come waits for at most one quantum and one job of each
//!   other tenant, however many jobs they have.
//! - A tenant's own jobs of a class are served by their rank, the lowest first, and those of one rank in the order in
//!   which they came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

use crate::estimate::Cost;

/// Jobs that wait, each once. `C` is the class (the smallest is the most pressing), `T` the tenant,
/// `K` the job's name.
#[derive(Debug)]
pub struct FairQueue<C, T, K> {
    quantum: u64,
    lanes: BTreeMap<C, Lane<T, K>>,
    places: HashMap<K, Place<C, T>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Place<C, T> {
    class: C,
    tenant: T,
    position: Position,
    cost: Cost,
}

/// Where a job stands among those of its tenant and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    rank: i64,
    arrival: u64,
}

/// The jobs of one class.
#[derive(Debug)]
struct Lane<T, K> {
    /// Every tenant with jobs, the one whose turn it is first.
    turns: VecDeque<T>,
    tenants: HashMap<T, Tenant<K>>,
}

#[derive(Debug)]
struct Tenant<K> {
    /// What is left of its turn, in requests.
    deficit: u64,
    /// The sum of its jobs' costs.
    cost: Cost,
    jobs: BTreeMap<Position, (K, Cost)>,
}

impl<C, T, K> FairQueue<C, T, K>
where
    C: Ord + Copy,
    T: Hash + Eq + Clone,
    K: Hash + Eq + Clone,
{
    /// No jobs yet. `quantum` is what a tenant may have served in one turn, in requests, at least 1.
    #[must_use]
    pub fn new(quantum: u64) -> Self {
        Self {
            quantum: quantum.max(1),
            lanes: BTreeMap::new(),
            places: HashMap::new(),
            arrivals: 0,
        }
    }

    /// Puts a job in that takes about as much as `cost`, or changes its class, rank and cost; its place
    /// among its tenant's jobs of that rank stays. Says whether anything changed.
    pub fn put(&mut self, class: C, tenant: &T, job: &K, rank: i64, cost: impl Into<Cost>) -> bool {
        let cost = cost.into();
        let cost = Cost {
            requests: cost.requests.max(1),
            ..cost
        };
        let present = self.places.get(job);
        if present.is_some_and(|p| {
            p.class == class && p.tenant == *tenant && p.position.rank == rank && p.cost == cost
        }) {
            return false;
        }
        let arrival = present.map(|p| p.position.arrival);
        self.remove(job);
        let arrival = arrival.unwrap_or_else(|| {
            self.arrivals += 1;
            self.arrivals
        });
        let position = Position { rank, arrival };
        self.lanes
            .entry(class)
            .or_default()
            .put(tenant, position, job, cost, self.quantum);
        self.places.insert(
            job.clone(),
            Place {
                class,
                tenant: tenant.clone(),
                position,
                cost,
            },
        );
        true
    }

    /// Takes a job out that is not to be served. Says whether it was there.
    pub fn remove(&mut self, job: &K) -> bool {
        let Some(place) = self.places.remove(job) else {
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(&place.class) {
            lane.remove(&place.tenant, place.position);
            if lane.turns.is_empty() {
                self.lanes.remove(&place.class);
            }
        }
        true
    }

    /// The job that is served next, of those whose class and tenant are admitted.
    pub fn take(&mut self, admit: impl Fn(C, &T) -> bool) -> Option<K> {
        let quantum = self.quantum;
        let job = self
            .lanes
            .iter_mut()
            .find_map(|(class, lane)| lane.next(&|tenant| admit(*class, tenant), quantum))?;
        self.remove(&job);
        Some(job)
    }

    /// Only the jobs that `keep` accepts stay. Says whether others were there.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) -> bool {
        let gone: Vec<K> = self.places.keys().filter(|job| !keep(job)).cloned().collect();
        for job in &gone {
            self.remove(job);
        }
        !gone.is_empty()
    }

    /// How many jobs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// About how much is served until the last of `jobs` is, its own included, if no other
    /// job comes. Nothing if none of them waits. Takes time in proportion to its class's tenants and its
    /// own tenant's jobs.
    #[must_use]
    pub fn until_last<'a>(&self, jobs: impl IntoIterator<Item = &'a K>) -> Option<Cost>
    where
        K: 'a,
    {
        let places = jobs.into_iter().filter_map(|job| self.places.get(job));
        let last = places.max_by_key(|place| (place.class, place.position))?;
        Some(self.ahead(last)? + last.cost)
    }

    fn ahead(&self, place: &Place<C, T>) -> Option<Cost> {
        let before: Cost = self.lanes.range(..place.class).map(|(_, lane)| lane.cost()).sum();
        let lane = self.lanes.get(&place.class)?;
        Some(before + lane.ahead(place, self.quantum))
    }
}

impl<T, K> Default for Lane<T, K> {
    fn default() -> Self {
        Self {
            turns: VecDeque::new(),
            tenants: HashMap::new(),
        }
    }
}

impl<T: Hash + Eq + Clone, K: Clone> Lane<T, K> {
    fn put(&mut self, tenant: &T, position: Position, job: &K, cost: Cost, quantum: u64) {
        let turns = &mut self.turns;
        let entry = self.tenants.entry(tenant.clone()).or_insert_with(|| {
            turns.push_back(tenant.clone());
            Tenant {
                deficit: quantum,
                cost: Cost::default(),
                jobs: BTreeMap::new(),
            }
        });
        entry.cost += cost;
        entry.jobs.insert(position, (job.clone(), cost));
    }

    fn remove(&mut self, tenant: &T, position: Position) {
        let Some(entry) = self.tenants.get_mut(tenant) else {
            return;
        };
        if let Some((_, cost)) = entry.jobs.remove(&position) {
            entry.cost -= cost;
        }
        if entry.jobs.is_empty() {
            self.tenants.remove(tenant);
            self.turns.retain(|other| other != tenant);
        }
    }

    /// The next job by deficit round robin; its cost is paid for.
    fn next(&mut self, admit: &impl Fn(&T) -> bool, quantum: u64) -> Option<K> {
        loop {
            // Who is not admitted keeps its place.
            let place = self.turns.iter().position(admit)?;
            let turn = self.tenants.get_mut(&self.turns[place])?;
            let (_, (job, cost)) = turn.jobs.first_key_value()?;
            if turn.deficit >= cost.requests {
                turn.deficit -= cost.requests;
                return Some(job.clone());
            }
            turn.deficit += quantum;
            let tenant = self.turns.remove(place)?;
            self.turns.push_back(tenant);
        }
    }

    fn cost(&self) -> Cost {
        self.tenants.values().map(|tenant| tenant.cost).sum()
    }

    fn ahead<C>(&self, place: &Place<C, T>, quantum: u64) -> Cost {
        let Some(tenant) = self.tenants.get(&place.tenant) else {
            return Cost::default();
        };
        let own: Cost = tenant
            .jobs
            .range(..place.position)
            .map(|(_, (_, cost))| *cost)
            .sum();
        // What its tenant needs beyond the present turn comes in further ones, and all others have
        // theirs between them.
        let turns = (own + place.cost)
            .requests
            .saturating_sub(tenant.deficit)
            .div_ceil(quantum);
        let mut others = Cost::default();
        let mut is_before = true;
        for other in &self.turns {
            if *other == place.tenant {
                is_before = false;
            } else if let Some(other) = self.tenants.get(other) {
                let served = match (is_before, turns) {
                    (true, turns) => other.deficit + turns * quantum,
                    (false, 0) => 0,
                    (false, turns) => other.deficit + (turns - 1) * quantum,
                };
                others += other.cost.first(served);
            }
        }
        own + others
    }
}

#[cfg(test)]
mod tests;
