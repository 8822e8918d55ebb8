// SPDX-License-Identifier: GPL-2.0

//! Watching the sizes of the exported devices.
//!
//! The block layer tells nobody outside it that a device has grown, so one delayed work item looks
//! at the sizes four times a second while anything is exported: one word per mapping. Clients that
//! have agreed to notices hear of a change and open the device again, which answers with the size.

use kernel::{
    impl_has_delayed_work,
    sync::Arc,
    workqueue::WorkItem, //
};
use kernel_ext::workqueue::{
    cancel_delayed_sync,
    enqueue_delayed, //
};

use crate::export::Exports;

/// Time between two looks. A change has to reach the clients within a second.
const INTERVAL_MS: u32 = 250;

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Exports { self.watch }
}

impl WorkItem for Exports {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if this.look() {
            start(&this);
        }
    }
}

/// Looks again after the interval; does nothing if that is arranged already.
pub(crate) fn start(exports: &Arc<Exports>) {
    let _ = enqueue_delayed(exports.control().queue(), exports.clone(), INTERVAL_MS);
}

/// Ends watching. Process context; there must be no exports any more.
pub(crate) fn stop(exports: &Arc<Exports>) {
    // A run that was cancelled while it looked may have arranged the next one before.
    let _ = cancel_delayed_sync(exports);
}
