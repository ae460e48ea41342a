"""Lineage by OpenLineage: which task has read and written which data, told to a receiver of the environment's choice.

A task leaves what it tells in a folder that it shares with the worker's container, and goes on. A process there, which
has the receiver's key and runs no code of DAGs, sends it. So no task has the key, or waits for the receiver.
"""
