// SPDX-License-Identifier: GPL-2.0

//! The life of a mapped device on the client (spec: rnbd 3.11).
//!
//! ```text
//!            Opened              LinkDown
//!   Init ------------> Mapped ------------> Disconnected
//!     |                 |  ^                  |     |
//!     |                 |  +----- Opened -----+     |
//!     | Unmap           | Unmap                     | Unmap
//!     +-----------------+------> Unmapped <---------+
//! ```
//!
//! Used by the block client, whose `state` file shows the names. It knows what may follow what,
//! and nothing of why it happens.

/// Where a device is in its life. The numbers are those of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum DeviceState {
    /// It is being made.
    Init = 0,
    /// It carries IO.
    Mapped = 1,
    /// No path of its session is connected, or it is not open on the server any more.
    Disconnected = 2,
    /// It is gone, or going.
    Unmapped = 3,
}

/// What happens to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceEvent {
    /// The server has opened it, and the answer was accepted.
    Opened,
    /// What the server had opened is not open any more.
    LinkDown,
    /// Somebody unmaps it.
    Unmap,
}

impl DeviceState {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 4] = [Self::Init, Self::Mapped, Self::Disconnected, Self::Unmapped];

    /// The state after `event`, or none if the event has no effect in this state.
    pub const fn step(self, event: DeviceEvent) -> Option<Self> {
        match (self, event) {
            (Self::Init | Self::Disconnected, DeviceEvent::Opened) => Some(Self::Mapped),
            (Self::Mapped, DeviceEvent::LinkDown) => Some(Self::Disconnected),
            (Self::Init | Self::Mapped | Self::Disconnected, DeviceEvent::Unmap) => {
                Some(Self::Unmapped)
            }
            _ => None,
        }
    }

    /// What sysfs shows; existing tools compare the second and the third literally.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Mapped => "open",
            Self::Disconnected => "closed",
            Self::Unmapped => "unmapped",
        }
    }
}

impl From<DeviceState> for i32 {
    #[inline]
    fn from(state: DeviceState) -> Self {
        state as Self
    }
}

/// The number is not that of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownDeviceState(pub i32);

impl TryFrom<i32> for DeviceState {
    type Error = UnknownDeviceState;

    #[inline]
    fn try_from(number: i32) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::Init),
            1 => Ok(Self::Mapped),
            2 => Ok(Self::Disconnected),
            3 => Ok(Self::Unmapped),
            _ => Err(UnknownDeviceState(number)),
        }
    }
}
