"""Times of work on a device: medians of many repetitions after a warm-up."""

import time

import torch

# Seconds of repetitions that a result should rest on, and their number at most and at least.
TARGET_SECONDS, MOST, LEAST = 0.6, 500, 10


class Timer:
    """Repeats work and measures each repetition: with CUDA events on a GPU, with the clock elsewhere."""

    def __init__(self, device, repeats=None):
        self.device, self.repeats = torch.device(device), repeats

    def measure(self, work):
        """-> us_median, us_p10, us_p90, repeats. Repetitions follow one another without a pause, as in training."""
        estimate = self._seconds(work, 3)[1:]
        repeats = self.repeats or int(min(MOST, max(LEAST, TARGET_SECONDS / max(max(estimate), 1e-6))))
        if self.repeats is None:
            self._seconds(work, max(3, repeats // 10))
        times = sorted(self._seconds(work, repeats))
        at = lambda share: round(times[min(len(times) - 1, int(share * len(times)))] * 1e6, 3)
        return {"us_median": at(0.5), "us_p10": at(0.1), "us_p90": at(0.9), "repeats": repeats}

    def _seconds(self, work, repeats):
        if self.device.type != "cuda":
            marks = [time.perf_counter()]
            for _ in range(repeats):
                work()
                marks.append(time.perf_counter())
            return [end - start for start, end in zip(marks, marks[1:])]
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        torch.cuda.synchronize()
        events[0].record()
        for event in events[1:]:
            work()
            event.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) * 1e-3 for start, end in zip(events, events[1:])]


def captured(work):
    """`work` as one CUDA graph, warmed up on a stream of its own as PyTorch asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def set_math(math):
    """fp32: exact products and convolutions; tf32: tensor cores, inputs rounded to 10 bits of mantissa."""
    torch.set_float32_matmul_precision("high" if math == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = math == "tf32"
