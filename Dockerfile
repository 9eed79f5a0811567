FROM python:3.11-slim

WORKDIR /app
RUN useradd --create-home --uid 10001 fewstep && mkdir /data && chown fewstep /data
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY fewstep fewstep
COPY search search
COPY predictor predictor
RUN pip install --no-cache-dir -c constraints.txt -e '.[service]'
COPY storage storage
COPY api api

USER fewstep
ENV FEWSTEP_DATA_DIR=/data HF_HOME=/tmp/hub PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8471
CMD ["python", "-m", "api", "serve"]
