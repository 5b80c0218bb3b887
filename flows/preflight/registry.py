"""Every check, in the order in which they are made. A new one is one file and one line here."""

from flows.preflight.capacity import memory_and_disk
from flows.preflight.chance import near_chance
from flows.preflight.epsilon import epsilon_scale
from flows.preflight.geometry import resize_and_crop
from flows.preflight.labels import label_order
from flows.preflight.leaks import leaks
from flows.preflight.networks import network_faults
from flows.preflight.notice import Check
from flows.preflight.pixels import image_values

CHECKS: tuple[Check, ...] = (
    epsilon_scale,
    image_values,
    leaks,
    network_faults,
    resize_and_crop,
    label_order,
    near_chance,
    memory_and_disk,
)
