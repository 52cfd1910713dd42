"""The broker on RabbitMQ: Celery's exchanges and queues, our guarantees."""
