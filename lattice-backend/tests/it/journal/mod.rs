//! The journal, by an adversary: what it must find, survive and refuse.

mod budget;
mod carved;
mod damaged;
mod golden;
mod kept;
mod kills;
mod life;
mod mixed;
mod model;
mod race;
mod support;
mod syncs;
mod verified;
mod writes;
