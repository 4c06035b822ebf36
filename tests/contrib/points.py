"""Prints what a tracker has in this directory, as JSON: the runs, and (name, step, value) of each point.

``python points.py mlflow``. It asks the library itself where that can read without a server.
"""

from __future__ import annotations

import glob
import json
import sys
import zipfile
from typing import Any

Found = tuple[list[str], list[tuple[str, int, float]]]


def mlflow() -> Found:
    import mlflow

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    client = mlflow.MlflowClient()
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    points = [
        (name, point.step, point.value)
        for run in runs
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]
    return [run.info.status for run in runs], points


def optuna() -> Found:
    import optuna

    trials = optuna.load_study(study_name="digits", storage="sqlite:///study.db").trials
    points = [
        (str(trial.number), step, value) for trial in trials for step, value in trial.intermediate_values.items()
    ]
    return [f"{trial.state.name} {trial.params.get('rate')}" for trial in trials], points


def aim() -> Found:
    from aim import Repo, Run

    # Not read-only: that reads an index, which aim makes later.
    quiet: dict[str, Any] = {"system_tracking_interval": None, "capture_terminal_logs": False}
    runs = [Run(name, repo=".", **quiet) for name in Repo(".").list_all_runs()]
    points = []
    for run in runs:
        for metric in run.metrics():
            prefix = "val_" if metric.context.to_dict().get("subset") == "val" else ""
            _, (values, epochs, _) = metric.data.numpy()
            if not metric.name.startswith("__"):
                points += [
                    (prefix + metric.name, int(epoch), float(value))
                    for value, epoch in zip(values, epochs, strict=True)
                ]
    return [run.experiment for run in runs], points


def wandb() -> Found:
    from wandb.proto.wandb_internal_pb2 import Record

    from callback_state.contrib import wandb_file

    points, runs = [], set()
    for path in glob.glob("wandb/offline-run-*/*.wandb"):
        with open(path, "rb") as file:
            file.seek(wandb_file.START)
            records = [
                Record.FromString(content) for content, _ in wandb_file._records(file.read(), wandb_file.START)
            ]
        runs |= {record.run.run_id for record in records if record.WhichOneof("record_type") == "run"}
        for record in records:
            step = record.history.step.num
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    points.append((name, step, json.loads(item.value_json)))
    return sorted(runs), points


def comet() -> Found:
    points, runs = [], set()
    for path in glob.glob("comet/*.zip"):
        with zipfile.ZipFile(path) as archive:
            if not archive.namelist():  # the first start makes an empty one, and was killed
                continue
            runs.add(json.loads(archive.read("experiment.json"))["offline_id"])
            lines: list[dict[str, Any]] = [json.loads(line) for line in archive.open("messages.json")]
            for payload in (line["payload"] for line in lines if line["type"] == "metric_msg"):
                metric, context = payload["metric"], payload.get("context")
                name = f"{context} {metric['metricName']}" if context == "validate" else metric["metricName"]
                points.append((name, metric["step"], float(metric["metricValue"])))
    return sorted(runs), points


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
