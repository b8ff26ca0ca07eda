//! The example integrations, as processes of their own, with a service whose connections fail on purpose.

mod certify;
mod patience;
mod program;
mod proxy;
mod run;
