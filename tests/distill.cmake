pawl_script(e2e_distill 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/distill.py)
