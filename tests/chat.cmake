# Rows to text at the command line.
pawl_script(chat_commands 60 ${PAWL_PYTHON} ${PROJECT_SOURCE_DIR}/tests/chat_commands.py)
