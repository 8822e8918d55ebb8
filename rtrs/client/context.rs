// SPDX-License-Identifier: GPL-2.0

//! What all sessions of this module share: the device class and the work queue.
//!
//! Every session holds the context; the module only starts and stops it.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::Queue,
};
use kernel_ext::{
    rdma,
    sysfs::Class,
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};
use rtrs_core::global::Global;

static CONTEXT: Global<Context> = Global::new();

/// The class and the queue.
#[pin_data]
pub(crate) struct Context {
    /// Heartbeats, teardown and requests without a path. Write-back waits for them, so the
    /// queue must make progress without memory; and none of its items takes long.
    queue: OwnedQueue,
    /// Attempts to connect again, which take long. Write-back waits for them, too.
    connecting: OwnedQueue,
    /// `/sys/class/rtrs-client`.
    pub(crate) class: Class,
    /// Held while a session takes its name, so that two do not find it free at once.
    #[pin]
    pub(crate) naming: Mutex<()>,
}

impl Context {
    /// The queue for attempts to connect again.
    pub(crate) fn connecting(&self) -> &Queue {
        self.connecting.queue()
    }

    /// The queue for everything else that may sleep.
    pub(crate) fn queue(&self) -> &Queue {
        self.queue.queue()
    }

    /// The context of the loaded module; `ENODEV` if it is on its way out.
    pub(crate) fn get() -> Result<Arc<Self>> {
        CONTEXT.get()
    }
}

/// Makes the context. Called when the module is loaded.
pub(crate) fn start(module: &'static ThisModule) -> Result {
    let flags = Flags {
        mem_reclaim: true,
        unbound: true,
        ordered: false,
    };
    let context = Arc::pin_init(
        try_pin_init!(Context {
            queue: OwnedQueue::new(c"rtrs_client_wq", flags)?,
            connecting: OwnedQueue::new(c"rtrs_client_connect", flags)?,
            class: Class::new(c"rtrs-client", module)?,
            naming <- new_mutex!((), "rtrs_client::naming"),
        }),
        GFP_KERNEL,
    )?;
    CONTEXT.set(context);
    Ok(())
}

/// Drops the context. Called when the module is unloaded: no session is left, as its
/// owner's module depends on this one.
pub(crate) fn stop() {
    let Some(context) = CONTEXT.clear() else {
        return;
    };
    // The last reference to a path may be that of an item that is still returning; it
    // holds the context, which must not be dropped by its own queue.
    context.connecting.drain();
    context.queue.drain();
    drop(context);
    rdma::flush_teardown();
}
