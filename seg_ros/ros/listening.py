"""Takes messages on a thread of its own, without rclpy's executor.

An executor of rclpy goes through everything a node has for each message, in Python: with a managed
node's services that takes as long as a network on a GPU. A wait set that holds the subscriptions
alone takes a frame in a fraction of that (bench/overhead.py). Whatever waits is taken in the order
in which it was subscribed to, so that a calibration comes before the frame that was sent after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from threading import Thread
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation

from seg_ros.ros.serialized import SerializedTaker

_SECONDS = 1.0
"""After which it looks whether it is still wanted, whatever woke nobody."""

Callback = Callable[[Any, Mapping[str, Any]], None]
"""Called with a message, or its bytes, and what the middleware says of it."""


class _NotTheExecutors(CallbackGroup):
    """Keeps an executor from waiting for what is in it."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class Listener:
    """Subscriptions of a node, and the thread that takes their messages from :meth:`start` on.

    Args:
        node: to subscribe with.
        failed: called with what a callback raised; the next message is taken all the same.

    """

    def __init__(self, node: Any, failed: Callable[[Exception], None]) -> None:
        self._node = node
        self._failed = failed
        self._group = _NotTheExecutors()
        self._taken: list[tuple[Any, Callable[[], Any], Callback]] = []
        self._wake = GuardCondition(None, None, context=node.context)
        self._stopping = False
        self._ended_by = "its thread is gone"
        self._thread: Thread | None = None

    def subscribe(
        self, message_type: Any, name: str, callback: Callback, qos: Any, serialized: bool = False
    ) -> None:
        """Subscribe to a topic; with ``serialized`` the callback gets bytes, (N,) uint8 or bytes.

        To be called before :meth:`start`.
        """
        subscription = self._node.create_subscription(
            message_type,
            name,
            lambda _: None,
            qos,
            callback_group=self._group,
            raw=serialized,
        )
        take = SerializedTaker(subscription).take if serialized else _taker(subscription)
        self._taken.append((subscription, take, callback))

    def start(self) -> None:
        """Begin to take messages."""
        self._thread = Thread(target=self._run, name="seg_ros_listener", daemon=True)
        self._thread.start()

    def revive(self) -> str:
        """Start the thread again where it ended by itself; return why it had, or nothing."""
        if self._thread is None or self._thread.is_alive() or self._stopping:
            return ""
        reason, self._ended_by = self._ended_by, "its thread is gone"
        self.start()
        return reason

    def stop(self) -> None:
        """Take no more messages, and unsubscribe."""
        self._stopping = True
        self._wake.trigger()
        if self._thread is not None:
            self._thread.join()
        for subscription, _, _ in self._taken:
            self._node.destroy_subscription(subscription)
        self._taken.clear()
        self._wake.destroy()

    def _run(self) -> None:
        try:
            self._listen()
        except BaseException as error:  # whoever watches says it and starts anew
            self._ended_by = f"{type(error).__name__}: {error}"

    def _listen(self) -> None:
        context = self._node.context
        handles = [subscription.handle for subscription, _, _ in self._taken]
        # Such as a publisher with another QoS: unread, they would wake every wait at once; and the
        # executor, if it waited for them, would be woken by every message.
        events = [
            event for subscription, _, _ in self._taken for event in subscription.event_handlers
        ]
        with ExitStack() as held:
            for handle in (*handles, self._wake.handle, context.handle):
                held.enter_context(handle)
            waiting = rclpy_implementation.WaitSet(
                len(handles), 1, 0, 0, 0, len(events), context.handle
            )
            while not self._stopping and context.ok():
                waiting.clear_entities()
                for handle in handles:
                    waiting.add_subscription(handle)
                waiting.add_guard_condition(self._wake.handle)
                for event in events:
                    event.add_to_wait_set(waiting)
                waiting.wait(round(_SECONDS * 1e9))
                for event in events:
                    if event.is_ready(waiting):
                        self._attend(event)
                ready = waiting.get_ready_entities("subscription")
                for handle, (_, take, callback) in zip(handles, self._taken, strict=True):
                    if handle.pointer in ready:
                        self._call(take, callback)

    def _attend(self, event: Any) -> None:
        """Let rclpy say what the middleware has to say of a topic, as an executor would."""
        try:
            event.execute(event.take_data()).send(None)
        except StopIteration:  # the coroutine has ended
            pass
        except Exception as error:
            self._failed(error)

    def _call(self, take: Callable[[], Any], callback: Callback) -> None:
        try:
            taken = take()
            if taken is not None:
                callback(*taken)
        except Exception as error:  # of one message; the next is another's
            self._failed(error)


def _taker(subscription: Any) -> Callable[[], Any]:
    return lambda: subscription.handle.take_message(subscription.msg_type, False)
