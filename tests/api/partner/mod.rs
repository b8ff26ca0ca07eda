//! The integrations that partners are shown, as processes of their own, at a service that misbehaves on purpose.

mod patience;
mod program;
mod proxy;
mod run;
