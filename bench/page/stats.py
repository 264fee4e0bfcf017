"""Medians, quartiles, and how sure they are."""
import random


def quantile(values, share):
    """Linear between the two nearest values."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def summary(values):
    if not values:
        return None
    return {"n": len(values), "median": median(values), "q1": quantile(values, 0.25),
            "q3": quantile(values, 0.75), "least": min(values), "most": max(values)}


def difference(before, after, rounds=2000, seed=1):
    """The difference of the medians (before less after) with its 95 % interval, by bootstrap."""
    rng = random.Random(seed)

    def again(values):
        return median(rng.choices(values, k=len(values)))

    made = sorted(again(before) - again(after) for _ in range(rounds))
    return {"difference": median(before) - median(after),
            "low": made[int(rounds * 0.025)], "high": made[int(rounds * 0.975) - 1]}
