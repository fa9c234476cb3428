pawl_script(e2e_gate 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/gate.py)
pawl_script(e2e_choices 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/choices.py)
pawl_script(e2e_drift 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/drift.py)
