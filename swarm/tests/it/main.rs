//! Several cores in one modelled world: streaming, failing sources, fairness, replay, and random
//! inputs against the invariants.

mod announces;
mod continuity;
mod deadlines;
mod fairness;
mod fallback;
mod hedging;
mod holders;
mod inputs;
mod interest;
mod model;
mod pair;
mod placement;
mod replay;
mod streaming;
