"""The processes in which tasks run: forked from one process that never held a credential of broker or database.

On AWS it is a container of its own (role `runner`) beside the Celery worker's, which has the credentials. Each has its
own `/proc`; a socket in a folder that both share connects them. The worker hands over one workload at a time.
"""
