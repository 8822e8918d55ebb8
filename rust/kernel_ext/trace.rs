// SPDX-License-Identifier: GPL-2.0

//! Trace points that C defines, as safe functions.
//!
//! Used by the crates of `rust/trace`, one per module. The kernel crate's `declare_trace!` knows the
//! trace points of the kernel only, and has its arguments made whether somebody traces or not; with
//! [`trace_event!`](crate::trace_event) a call is one instruction that does nothing as long as nobody
//! does.

/// Defines a safe function for an event that C defines with `CREATE_RUST_TRACE_POINTS` in the same
/// module.
///
/// `trace_event! { event(|facts: Facts| facts.number => u32, facts.name.as_char_ptr() => *const
/// c_char), __tracepoint_event, rust_do_trace_event }`: the function takes a closure that makes the
/// facts, and calls it only if somebody traces. The values are the arguments of the C function, in
/// its order and with its types. They must be plain numbers, or pointers to C strings that the facts
/// own or borrow: the event copies them.
#[macro_export]
macro_rules! trace_event {
    (
        $(#[$meta:meta])*
        $event:ident(|$facts:ident: $kind:ident$(<$life:lifetime>)?|
            $($value:expr => $ty:ty),* $(,)?),
        $key:ident, $fire:ident $(,)?
    ) => {
        // Only the address of the tracepoint is used.
        #[allow(improper_ctypes)]
        extern "C" {
            static $key: ::kernel::bindings::tracepoint;
            fn $fire($(_: $ty),*);
        }

        $(#[$meta])*
        #[inline(always)]
        pub fn $event$(<$life>)?(facts: impl FnOnce() -> $kind$(<$life>)?) {
            // SAFETY: the key is that of the tracepoint, which C defines in this very module.
            let traced = unsafe {
                ::kernel::jump_label::static_branch_unlikely!(
                    $key,
                    ::kernel::bindings::tracepoint,
                    key
                )
            };
            if traced {
                let $facts = facts();
                // SAFETY: the types are those of the C function; strings outlive the call, as the
                // facts do. A tracepoint may be fired in any context.
                unsafe { $fire($($value),*) }
            }
        }
    };
}

pub use crate::trace_event;
