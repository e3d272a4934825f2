//! The rules that keep the invariants, each with a name at the place that applies it.

/// One rule. The model breaks them one by one and must find what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// I3: a slot ends by the holder's own clock.
    ExpireByOwnClock,
    /// I3: validity runs from the start of the write, not from its answer.
    ValidFromStart,
    /// I3: a takeover waits longer than the validity.
    TakeOverAfterValidity,
    /// I3: a write replaces the version that it names and no other. Kept by the API server, so only the
    /// model can break it.
    #[cfg(test)]
    CompareAndSwap,
    /// I5: a slot is given up before the write that releases it.
    ShrinkBeforeWrite,
    /// I5: a slot is used only once the write that takes it is acknowledged.
    GrowAfterAcknowledgement,
    /// I2: a slot is released only when none of its requests is unanswered.
    ReleaseOnlyAnswered,
    /// I7: a Lease made anew is in doubt for the takeover time.
    DoubtNewTable,
    /// I5: new slots are taken only once all others know the current figures.
    WaitForEpoch,
    /// I5: the table shrinks only by rows that are free.
    ShrinkByFreeRows,
    /// I1, I3: who takes a slot over begins with an empty bucket.
    EmptyAfterTakeover,
    /// I1, I3: a released slot carries the rest of its wait.
    CarryWait,
    /// I8: a dead holder's slot is taken over.
    TakeOverTheDead,
    /// I6: refusals of requests from one epoch count once.
    CountOncePerEpoch,
    /// After a refusal one request at a time goes out until one gets through.
    OneProbe,
    /// A pause stops all requests of all replicas.
    PauseAll,
}
