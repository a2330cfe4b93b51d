"""What work costs at the prices a studio has set."""

from decimal import Decimal

from memorial_tasks.settings import Settings


def price(settings: Settings, seconds: float, gpu_minutes: float) -> Decimal | None:
    """What a step costs at today's prices: its minutes with a GPU, or its minutes without; None without a price."""
    used = Decimal(str(gpu_minutes)) if gpu_minutes else Decimal(str(seconds)) / 60
    each = settings.gpu_price_per_minute if gpu_minutes else settings.cpu_price_per_minute
    return None if each is None else (used * each).quantize(Decimal("0.0001"))
